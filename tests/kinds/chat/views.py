from django.shortcuts import render


def index(request):
    return render(request, "chat/room.html", {"title": "Chat rooms"})
