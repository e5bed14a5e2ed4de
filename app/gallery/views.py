"""The pages of the gallery. Everybody may look; to upload, one logs in; one deletes what one has uploaded."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin, UserPassesTestMixin
from django.contrib.messages.views import SuccessMessageMixin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.generic import DeleteView, DetailView, FormView, ListView, UpdateView

from gallery.forms import UploadForm
from gallery.models import Picture
from throttles.clients import network_of
from throttles.rates import take


def sign_thumbnails(pictures: Iterable[Picture]) -> None:
    """Have the storage make the links of all thumbnails side by side, before a template asks for one after the other.

    In a private bucket each new link is a call to Google; the storage remembers it.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(attrgetter("thumbnail.url"), pictures))


class IndexView(ListView):
    model = Picture
    template_name = "gallery/index.html"
    context_object_name = "pictures"
    paginate_by = 24

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        sign_thumbnails(context["pictures"])
        return context


class PictureView(DetailView):
    model = Picture
    template_name = "gallery/detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(may_change=self.object.may_be_changed_by(self.request.user), **kwargs)


# An upload is in memory while it is read: there is no disk below /tmp in Cloud Run
# (https://cloud.google.com/run/docs/container-contract#filesystem).
MAX_UPLOADS_AT_ONCE = 3
_BUSY_SECONDS = 10
_uploads = threading.BoundedSemaphore(MAX_UPLOADS_AT_ONCE)


@method_decorator(csrf_exempt, name="dispatch")  # the check would read the upload; `_receive` makes it
class UploadView(LoginRequiredMixin, FormView):
    form_class = UploadForm
    template_name = "gallery/upload.html"
    success_url = reverse_lazy("gallery:index")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        take("upload-address", network_of(request))
        take("upload-account", request.user.get_username())
        if not _uploads.acquire(timeout=_BUSY_SECONDS):
            text = "Others are uploading just now. Try again in a minute.\n"
            return HttpResponse(text, "text/plain", status=503, headers={"Retry-After": "60"})
        try:
            return self._receive(request)
        finally:
            _uploads.release()

    @method_decorator(csrf_protect)
    def _receive(self, request: HttpRequest) -> HttpResponse:
        return super().post(request)

    def form_valid(self, form: UploadForm) -> HttpResponse:
        pictures = Picture.objects.add(
            form.cleaned_data["images"], uploaded_by=self.request.user, caption=form.cleaned_data["caption"]
        )
        count = len(pictures)
        messages.success(self.request, "1 picture added." if count == 1 else f"{count} pictures added.")
        return super().form_valid(form)


class ChangePictureMixin(LoginRequiredMixin, UserPassesTestMixin):
    """For those who may change the picture; others who are logged in get 403, and who is not is asked to log in."""

    model = Picture

    def test_func(self) -> bool:
        return self.get_object().may_be_changed_by(self.request.user)


class CaptionView(ChangePictureMixin, SuccessMessageMixin, UpdateView):
    fields = ["caption"]
    template_name = "gallery/caption.html"
    success_message = "The caption is saved."


class DeletePictureView(ChangePictureMixin, SuccessMessageMixin, DeleteView):
    template_name = "gallery/delete.html"
    success_url = reverse_lazy("gallery:index")
    success_message = "The picture is deleted."
