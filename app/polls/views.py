"""The pages of the polls."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from django.views.generic import ListView

from polls.models import Choice, Question
from polls.voters import remember_voter, voter_of
from throttles.clients import network_of
from throttles.rates import take


class IndexView(ListView):
    template_name = "polls/index.html"
    context_object_name = "questions"
    paginate_by = 20

    def get_queryset(self) -> Any:
        return Question.objects.published()


@never_cache
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the question; of a browser that has answered already, show the results."""
    question = get_object_or_404(Question.objects.published(), pk=pk)
    voter = voter_of(request)
    if question.has_vote_of(voter):
        return redirect("polls:results", pk=pk)
    response = render(request, "polls/detail.html", {"question": question})
    # Given with the form, so that both requests of a double click come with the same number.
    remember_voter(response, voter)
    return response


@require_POST
def vote(request: HttpRequest, pk: int) -> HttpResponse:
    """Count the vote and show the results; without a choice, ask again."""
    take("vote-address", network_of(request))
    question = get_object_or_404(Question.objects.published(), pk=pk)
    try:
        choice = question.choices.get(pk=request.POST.get("choice"))
    except (Choice.DoesNotExist, ValueError):
        context = {"question": question, "error": "Choose one of the answers first."}
        return render(request, "polls/detail.html", context, status=422)
    voter = voter_of(request)
    if question.vote(choice, voter):
        messages.success(request, "Thank you, your vote is counted.")
    else:
        messages.info(request, "You have voted on this question before; your first vote counts.")
    response = redirect("polls:results", pk=pk)
    remember_voter(response, voter)
    return response


@never_cache
def results(request: HttpRequest, pk: int) -> HttpResponse:
    """Show how the votes are spread."""
    question = get_object_or_404(Question.objects.published(), pk=pk)
    choices = list(question.choices.all())
    total = sum(choice.votes for choice in choices)
    rows = [(choice, round(100 * choice.votes / total) if total else 0) for choice in choices]
    voted = question.has_vote_of(voter_of(request))
    return render(
        request, "polls/results.html", {"question": question, "rows": rows, "total": total, "voted": voted}
    )
