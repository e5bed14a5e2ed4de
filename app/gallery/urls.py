from __future__ import annotations

from django.urls import path

from gallery import views

app_name = "gallery"

urlpatterns = [
    path("", views.IndexView.as_view(), name="index"),
    path("upload/", views.UploadView.as_view(), name="upload"),
    path("<int:pk>/", views.PictureView.as_view(), name="detail"),
    path("<int:pk>/caption/", views.CaptionView.as_view(), name="caption"),
    path("<int:pk>/delete/", views.DeletePictureView.as_view(), name="delete"),
]
