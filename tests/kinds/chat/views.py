from django.http import HttpResponse
from django.templatetags.static import static


def index(request):
    sheet = static("chat/chat.css")
    return HttpResponse(f'<link rel="stylesheet" href="{sheet}"><h1>Chat rooms</h1>')
