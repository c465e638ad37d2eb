"""The wording of the six families: questions, plans, steps and conclusions to choose from.

Every list offers several ways to say the same thing. With one rigid wording a model learns to copy numbers by
position, and an inserted command, which shifts every position, breaks it.

Fields in braces: `A`, `B` names; `x` the item; `p`, `q` the factors; `c` the small number; `d` a second small number;
`s` the number the story starts with; `first`, `second` the equations of the two steps; `u`, `r` their results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StoryShape = Literal["sum", "product-first", "product-last"]


@dataclass(frozen=True, slots=True)
class Story:
    """One family of problems: a shape of calculation and the many ways to tell it."""

    shape: StoryShape
    """sum: s + c - d. product-first: p * q, then + or - c. product-last: p + or - c, then * q."""
    sign: Literal[1, -1]
    """Whether the small number is added or taken away (the first one, in a sum)."""
    hard: float
    """Share of problems with a product of two numbers from 12 to 19; in the others the factors have one digit."""
    items: tuple[str, ...]
    questions: tuple[str, ...]
    plans: tuple[str, ...]
    firsts: tuple[str, ...]
    seconds: tuple[str, ...]


NAMES = ("Ana", "Ben", "Cora", "Dan", "Eli", "Fay", "Gus", "Ida")

ASIDES = (
    "The day is long and warm.",
    "It rains in the morning.",
    "{B} looks on.",
    "It is a good day for the family.",
    "All of this takes one day.",
)

BRIDGES = (
    "With this number we go on to the next step.",
    "This is the first part of the work.",
    "Now the second part of the story is left.",
    "We keep this number for the next step.",
    "The rest of the story is short.",
    "So far we have one number and we need one more step.",
)

ENDS = (
    r"So the answer is \boxed{{{r}}}.",
    r"The answer to the question is \boxed{{{r}}}.",
    r"This gives the answer \boxed{{{r}}}.",
    r"In the end the answer is \boxed{{{r}}}.",
)

STORIES = {
    "pens": Story(
        "sum", 1, 0.0, ("pens", "books", "cards"),
        (
            "{A} has {s} {x} in a bag. {B} brings {c} more {x}, and later {A} gives {d} {x} to a friend. "
            "How many {x} does {A} have now?",
            "There are {s} {x} on the table of {A}. In the morning {B} puts {c} {x} there, and in the evening {d} {x} "
            "are lost. How many {x} are left on the table?",
            "A school has {s} {x}. First {A} buys {c} more {x} for the school, then {B} takes {d} {x} home. "
            "How many {x} does the school have now?",
        ),
        (
            "We follow the number of {x} from the start of the day to the end.",
            "To find the number of {x}, we take the changes one by one.",
            "We want to know how many {x} there are after both changes.",
        ),
        (
            "The new {x} are added to the old {x}: {first} {x}.",
            "At first more {x} come, so we add, and this makes {first} {x}.",
            "After the first change the number of {x} is {first}.",
        ),
        (
            "Then some {x} go away, so we take them away: {second} {x} are left.",
            "After that the number gets smaller again, and it is {second} {x}.",
            "The {x} that are gone do not count, which leaves {second} {x}.",
        ),
    ),
    "boxes": Story(
        "product-first", 1, 0.6, ("apples", "eggs", "cups"),
        (
            "{A} has {p} boxes with {q} {x} in each box. {B} brings {c} more {x}. How many {x} are there in all?",
            "There are {q} {x} in each box of a shop. {A} buys {p} boxes and finds {c} more {x} at home. "
            "How many {x} does {A} have now?",
            "In a room there are {p} boxes. Each box holds {q} {x}, and {c} {x} are on the table. "
            "How many {x} are in the room?",
        ),
        (
            "We count the {x} in the boxes first and the others after that.",
            "There are two parts, the {x} in the boxes and the other {x}.",
            "To find the number of {x}, we start with the boxes of the story.",
        ),
        (
            "Each box holds the same number of {x}, so the boxes hold {first} {x}.",
            "In all the boxes together there are {first} {x}.",
            "The number of boxes times the number in each box is {first} {x}.",
        ),
        (
            "With the other {x} added, this makes {second} {x} in all.",
            "Then the {x} that are not in a box are added: {second} {x}.",
            "There are some more {x}, and together we have {second} {x}.",
        ),
    ),
    "trips": Story(
        "product-first", -1, 0.8, ("miles", "stops", "turns"),
        (
            "{A} goes on a trip of {p} days and plans {q} {x} for each day. On the last day {c} {x} are left out. "
            "How many {x} does the trip have?",
            "A bus makes {q} {x} on each of its {p} trips. {B} says that {c} {x} do not count. How many {x} count?",
            "On each of {p} days {A} and {B} make {q} {x}, but at the end they lose {c} {x}. "
            "How many {x} do they have in the end?",
        ),
        (
            "We first count all the {x} as if none were left out.",
            "To find the number of {x}, we begin with the full trip.",
            "The trip has many equal parts, so we begin with a product.",
        ),
        (
            "Each part of the trip has the same number of {x}, which makes {first} {x}.",
            "The full trip would have {first} {x}.",
            "All the {x} of the plan together are {first} {x}.",
        ),
        (
            "But some {x} do not count, so we take them away: {second} {x}.",
            "The {x} that are left out make the number smaller, and {second} {x} are left.",
            "After the loss there are still {second} {x}.",
        ),
    ),
    "gardens": Story(
        "product-last", 1, 0.85, ("plants", "roses", "trees"),
        (
            "A garden has {q} rows with {p} {x} in each row. {A} puts {c} more {x} in each row. "
            "How many {x} does the garden have now?",
            "{A} wants {p} {x} in each row of the garden, and {B} wants {c} more {x} in each row. "
            "They make {q} rows as {B} wants. How many {x} do they need?",
            "In each of the {q} rows of a garden there were {p} {x}. In the summer {c} new {x} came up in each row. "
            "How many {x} are there now?",
        ),
        (
            "We look at one row first and then at all the rows of the garden.",
            "The rows are all the same, so one row is a good start.",
            "To find the number of {x}, we begin with one row.",
        ),
        (
            "In one row there are now {first} {x}.",
            "The old and the new {x} of a row make {first} {x}.",
            "When we add the new {x} to a row, it holds {first} {x}.",
        ),
        (
            "Each row of the garden has as many, so in all there are {second} {x}.",
            "For all the rows of the garden together this makes {second} {x}.",
            "Now we take the number of rows times this number and get {second} {x}.",
        ),
    ),
    "markets": Story(
        "product-last", -1, 0.9, ("coins", "notes"),
        (
            "At the market a lamp costs {p} {x}, but {A} gets it for {c} {x} less. {A} buys {q} lamps. "
            "How many {x} does {A} pay?",
            "{A} sells {q} lamps at the market. The price of a lamp was {p} {x}, and today it is {c} {x} less. "
            "How many {x} does {A} get?",
            "The price of one lamp is {p} {x}. Today {B} takes {c} {x} off the price of each lamp and sells {q} lamps. "
            "How many {x} does {B} get?",
        ),
        (
            "We need the price of one lamp before the price of them all.",
            "The first thing to find is what one lamp costs today.",
            "To find the number of {x}, we begin with the new price of a lamp.",
        ),
        (
            "The old price is too high, and the new price is {first} {x}.",
            "With the {x} taken off, one lamp costs {first} {x}.",
            "Today one lamp is sold for less, that is for {first} {x}.",
        ),
        (
            "Each lamp has this price, so for all the lamps it is {second} {x}.",
            "The number of lamps times the new price is {second} {x}.",
            "For all the lamps of the story together we get {second} {x}.",
        ),
    ),
    "puzzles": Story(
        "product-first", 1, 0.95, ("points",),
        (
            "{A} takes the number {p} and makes it {q} times as large. Then {A} adds {c}. "
            "What number does {A} have in the end?",
            "{B} thinks of a number. It is {c} more than the product of {p} and {q}. What is the number of {B}?",
            "A puzzle says: take {p} times {q}, then go {c} steps up. {A} and {B} find the number. What is it?",
        ),
        (
            "The puzzle has two steps, and the product comes first.",
            "We read the puzzle from the start and do what it says.",
            "To find the number of the puzzle, we begin with the product.",
        ),
        (
            "The product of the two numbers of the puzzle is {first}.",
            "When we make the number that many times as large, we get {first}.",
            "The first step of the puzzle says that we have {first}.",
        ),
        (
            "Then the small number is added to the product, which gives {second}.",
            "In the second step the number goes up, and we get {second}.",
            "We add the last number of the puzzle and find {second}.",
        ),
    ),
}
