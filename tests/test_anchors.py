"""Published accuracies."""

from __future__ import annotations

from us8k_batch.training.anchors import published_for

ESC10 = ["baby_cry", "chainsaw", "clock_tick", "dog_bark", "fire_crackling",
         "helicopter", "person_sneeze", "rain", "rooster", "sea_waves"]  # fmt: skip


def test_the_same_classes_have_what_was_published() -> None:
    """ESC-10's are shares of 1, best first; one class more, or none, is another dataset."""
    (found,) = published_for(ESC10)
    assert (found.name, found.clips) == ("ESC-10", 400)
    accuracies = [one.accuracy for one in found.anchors]
    assert accuracies == sorted(accuracies, reverse=True)
    assert f"{accuracies[0]:.3f}" == "0.957"
    assert published_for([*ESC10, "wind"]) == published_for([]) == ()
