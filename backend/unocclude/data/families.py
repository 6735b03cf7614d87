"""Families of everyday things: each draws the painted parts of one, in no particular size, mostly upright."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from unocclude.data import shapes
from unocclude.data.shapes import Floats, Mesh
from unocclude.data.textures import Texture, plain, random_texture

Chart = Literal["round", "box", "own"]


@dataclass(frozen=True)
class Part:
    """One painted piece. `chart` says how (u, v) come from its positions: around z, or face by face of its box; or each
    vertex has its `own` in `uv` (V, 2).
    """

    mesh: Mesh
    texture: Texture
    chart: Chart = "round"
    uv: Floats | None = None


def _walk(rng: np.random.Generator, count: int, low: float, high: float, step: float) -> Floats:
    """A random walk between two bounds: profiles that bulge and narrow like turned things."""
    values = [rng.uniform(low, high)]
    for _ in range(count - 1):
        values.append(float(np.clip(values[-1] + rng.normal(0, step), low, high)))
    return np.array(values)


def _handle(rng: np.random.Generator, radius: float, low: float, high: float) -> Mesh:
    """An ear on the +x side of a vessel of that radius, between two heights."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 24)
    reach = rng.uniform(0.4, 1.1) * (high - low) / 2
    squareness = rng.uniform(0.5, 1.0)
    x = radius * 0.93 + reach * np.abs(np.cos(angle)) ** squareness
    z = (low + high) / 2 + (high - low) / 2 * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** squareness
    thickness = rng.uniform(0.06, 0.13) * (high - low)
    return shapes.tube(np.stack([x, np.zeros_like(x), z], -1), np.full(24, thickness), rng.uniform(0.8, 2.0))


def _can(rng: np.random.Generator) -> list[Part]:
    height = rng.uniform(0.35, 2.4)
    radius = 0.5 * rng.uniform(0.93, 1.07, 4) if rng.random() < 0.4 else np.full(4, 0.5)
    r, z = shapes.solid_profile(radius, np.linspace(0, height, 4))
    parts = [Part(shapes.lathe(r, z), random_texture(rng))]
    if rng.random() < 0.4:
        lid = height * rng.uniform(0.05, 0.2)
        r, z = shapes.solid_profile(np.full(2, 0.5 * rng.uniform(0.8, 1.06)), np.array([height, height + lid]))
        parts.append(Part(shapes.lathe(r, z), plain(rng)))
    return parts


def _bottle(rng: np.random.Generator) -> list[Part]:
    height, shoulder = rng.uniform(1.4, 3.4), rng.uniform(0.4, 0.85)
    neck = rng.uniform(0.12, 0.3)
    body = 0.5 * rng.uniform(0.85, 1.1, 3)
    radii = np.concatenate([body, [body[-1] * 0.8, neck * 1.1, neck]])
    heights = height * np.array(
        [0, shoulder * 0.5, shoulder, shoulder + (1 - shoulder) * 0.35, shoulder + (1 - shoulder) * 0.65, 1]
    )
    r, z = shapes.solid_profile(radii, heights)
    flat = [1.0, rng.uniform(0.5, 1.0) if rng.random() < 0.5 else 1.0, 1.0]
    parts = [Part(shapes.lathe(r, z).moved(scale=flat), random_texture(rng))]
    cap = height * rng.uniform(0.06, 0.16)
    r, z = shapes.solid_profile(
        neck * np.array([1.2, rng.uniform(0.7, 1.2)]), height * rng.uniform(0.93, 1) + np.array([0, cap])
    )
    parts.append(Part(shapes.lathe(r, z), plain(rng)))
    return parts


def _bowl(rng: np.random.Generator) -> list[Part]:
    height = rng.uniform(0.15, 0.7)
    t = np.linspace(0, 1, 7)
    radii = 0.5 * (rng.uniform(0.3, 0.7) + (1 - 0.3) * t ** rng.uniform(0.3, 0.9))
    r, z = shapes.hollow_profile(radii / radii.max() / 2, height * t, rng.uniform(0.015, 0.05))
    return [Part(shapes.lathe(r, z), random_texture(rng))]


def _vase(rng: np.random.Generator) -> list[Part]:
    count = int(rng.integers(4, 9))
    r, z = shapes.hollow_profile(_walk(rng, count, 0.15, 0.5, 0.14), np.linspace(0, rng.uniform(0.7, 2.2), count), 0.03)
    return [Part(shapes.lathe(r, z), random_texture(rng))]


def _turned(rng: np.random.Generator) -> list[Part]:
    count = int(rng.integers(5, 10))
    r, z = shapes.solid_profile(_walk(rng, count, 0.05, 0.5, 0.16), np.linspace(0, rng.uniform(0.6, 2.5), count), 64)
    return [Part(shapes.lathe(r, z), random_texture(rng))]


def _mug(rng: np.random.Generator) -> list[Part]:
    height = rng.uniform(0.8, 1.5)
    radii = 0.5 * rng.uniform(0.85, 1.0) * np.array([rng.uniform(0.7, 1.05), 1.0, 1.0, rng.uniform(0.95, 1.15)])
    r, z = shapes.hollow_profile(radii, np.linspace(0, height, 4), 0.03)
    body = Part(shapes.lathe(r, z), random_texture(rng))
    low, high = height * rng.uniform(0.1, 0.3), height * rng.uniform(0.7, 0.92)
    ear = Part(_handle(rng, float(radii[1]), low, high), body.texture if rng.random() < 0.6 else plain(rng))
    return [body, ear]


def _pot(rng: np.random.Generator) -> list[Part]:
    """Saucepans, teapots, mokas: a vessel, a lid with a knob, and handles or a spout."""
    height = rng.uniform(0.4, 1.5)
    radii = 0.5 * np.array([rng.uniform(0.8, 1.05), rng.uniform(0.9, 1.1), rng.uniform(0.75, 1.05)])
    r, z = shapes.solid_profile(radii, np.linspace(0, height, 3))
    facets = int(rng.choice([6, 8, 10])) if rng.random() < 0.25 else 64
    paint = random_texture(rng)
    parts = [Part(shapes.lathe(r, z, facets), paint)]
    dome = rng.uniform(0.05, 0.3)
    r, z = shapes.solid_profile(radii[-1] * np.array([1.02, 0.8, 0.3]), height + dome * np.array([0, 0.6, 1.0]))
    parts.append(Part(shapes.lathe(r, z, facets), paint if rng.random() < 0.6 else plain(rng)))
    knob = rng.uniform(0.05, 0.12)
    parts.append(
        Part(
            shapes.superellipsoid(np.full(3, 2 * knob), 1, 1).moved(offset=[0, 0, height + dome + knob * 0.7]),
            plain(rng),
        )
    )
    dark = plain(rng)
    kind = rng.random()
    if kind < 0.45:
        parts.append(Part(_handle(rng, float(radii[1]), height * 0.25, height * 0.9), dark))
    elif kind < 0.75:
        reach = np.linspace(radii[1] * 0.9, radii[1] + rng.uniform(0.5, 1.1), 12)
        rise = height * 0.8 + rng.uniform(-0.1, 0.25) * np.linspace(0, 1, 12)
        parts.append(
            Part(
                shapes.tube(np.stack([reach, 0 * reach, rise], -1), np.full(12, rng.uniform(0.035, 0.07)), 1.6),
                dark,
            )
        )
    if rng.random() < 0.4:
        spout = np.linspace(0, 1, 12)
        path = np.stack([-radii[1] * 0.9 - 0.45 * spout, 0 * spout, height * (0.4 + 0.5 * spout**1.5)], -1)
        parts.append(Part(shapes.tube(path, np.linspace(0.12, 0.05, 12)), paint))
    return parts


def _box(rng: np.random.Generator) -> list[Part]:
    size = rng.uniform(0.25, 1.0, 3) * np.array([1, 1, rng.uniform(0.7, 1.8)])
    texture = random_texture(rng)
    if rng.random() < 0.35:
        return [Part(shapes.superellipsoid(size, rng.uniform(0.1, 0.35), rng.uniform(0.1, 0.35)), texture, "box")]
    return [Part(shapes.box(size, rng.uniform(0.75, 1.2) if rng.random() < 0.25 else 1.0), texture, "box")]


def _carton(rng: np.random.Generator) -> list[Part]:
    width, depth, height = rng.uniform(0.5, 0.8), rng.uniform(0.45, 0.75), rng.uniform(0.8, 1.6)
    texture = random_texture(rng)
    parts = [Part(shapes.box(np.array([width, depth, height])), texture, "box")]
    roof = shapes.gable(np.array([width, depth, rng.uniform(0.15, 0.35)]), rng.uniform(0.05, 0.15))
    parts.append(Part(roof.moved(offset=[0, 0, height / 2]), texture if rng.random() < 0.5 else plain(rng), "box"))
    if rng.random() < 0.35:
        r, z = shapes.solid_profile(np.full(2, 0.1), np.array([0.0, 0.12]))
        cap = shapes.lathe(r, z).moved(rotation=Rotation.from_euler("x", 50, degrees=True).as_matrix())
        parts.append(Part(cap.moved(offset=[0, -depth / 4, height / 2 + 0.12]), plain(rng)))
    return parts


def _rounded(rng: np.random.Generator) -> list[Part]:
    size = rng.uniform(0.4, 1.0, 3)
    return [Part(shapes.superellipsoid(size, rng.uniform(0.3, 1.3), rng.uniform(0.3, 1.3)), random_texture(rng))]


def _fruit(rng: np.random.Generator) -> list[Part]:
    t = np.linspace(0, np.pi, 24)
    pear = rng.uniform(0, 0.5)
    radii = 0.5 * np.sin(t) ** rng.uniform(0.7, 1.0) * (1 - pear * (t / np.pi))
    dimple = rng.uniform(0, 0.12)
    heights = (
        -np.cos(t) * rng.uniform(0.4, 0.7) - dimple * np.exp(-((t - np.pi) ** 2) * 6) + dimple * np.exp(-(t**2) * 6)
    )
    body = shapes.lumpy(shapes.lathe(radii, heights), rng.uniform(0, 0.06), rng)
    parts = [Part(body, random_texture(rng))]
    if rng.random() < 0.5:
        top = heights.max()
        z = np.linspace(top - 0.15, top + rng.uniform(0.05, 0.2), 8)
        path = np.stack([0.08 * (z - top), 0 * z, z], -1)
        parts.append(Part(shapes.tube(path, np.full(8, 0.025)), plain(rng)))
    return parts


def _bent_fruit(rng: np.random.Generator) -> list[Part]:
    """Bananas, peppers, croissants, cucumbers: a bent, tapering sweep."""
    t = np.linspace(0, 1, 36)
    radii = rng.uniform(0.1, 0.22) * np.clip(np.sin(np.pi * t), 0.02, 1) ** rng.uniform(0.25, 0.7)
    radii[t > 0.9] = np.maximum(radii[t > 0.9], 0.03)
    path = np.stack([0 * t, 0 * t, t * rng.uniform(1.0, 1.6)], -1)
    body = shapes.bent(
        shapes.tube(path, radii, rng.uniform(0.8, 1.2), int(rng.choice([5, 6, 20]))), rng.uniform(0, 150)
    )
    lying = Rotation.from_euler("yx", [90, rng.choice([0, 90, 180])], degrees=True).as_matrix()
    return [Part(body.moved(rotation=lying), random_texture(rng))]


def _tool(rng: np.random.Generator) -> list[Part]:
    """Hammers, brushes, spoons, torches: a grip and a head along x."""
    length = rng.uniform(0.8, 1.4)
    x = np.linspace(0, length, 16)
    grip = rng.uniform(0.05, 0.12) * np.linspace(rng.uniform(0.7, 1.3), 1, 16)
    parts = [Part(shapes.tube(np.stack([x, 0 * x, 0 * x], -1), grip, rng.uniform(0.6, 1.4)), random_texture(rng))]
    head = rng.uniform(0.15, 0.6, 3)
    if rng.random() < 0.5:
        mesh, chart = shapes.box(head), "box"
    else:
        mesh, chart = shapes.superellipsoid(head, rng.uniform(0.3, 1), rng.uniform(0.3, 1)), "round"
    parts.append(Part(mesh.moved(offset=[length + head[0] / 2 * 0.8, 0, 0]), random_texture(rng), chart))  # type: ignore[arg-type]
    return parts


def _toy(rng: np.random.Generator) -> list[Part]:
    """Animals and figures: a body, a head, limbs, ears or a beak."""
    coat = random_texture(rng)
    body = np.array([rng.uniform(0.5, 1.0), rng.uniform(0.35, 0.7), rng.uniform(0.4, 1.0)])
    parts = [
        Part(
            shapes.lumpy(shapes.superellipsoid(body, rng.uniform(0.7, 1.1), rng.uniform(0.8, 1.1)), 0.04, rng),
            coat,
        )
    ]
    head = rng.uniform(0.3, 0.55)
    at = np.array([body[0] * rng.uniform(0.0, 0.5), 0, body[2] / 2 + head * rng.uniform(0.15, 0.4)])
    skin = coat if rng.random() < 0.6 else random_texture(rng)
    parts.append(Part(shapes.superellipsoid(head * rng.uniform(0.85, 1.2, 3), 1, 1).moved(offset=at), skin))
    accent = plain(rng)
    for side in (-1, 1):
        ear = shapes.superellipsoid(head * rng.uniform(0.15, 0.5, 3), 1, 1)
        parts.append(Part(ear.moved(offset=at + head * np.array([-0.05, side * 0.35, 0.4])), skin))
    if rng.random() < 0.7:
        nose = shapes.superellipsoid(head * rng.uniform(0.15, 0.45, 3), 1, 1)
        parts.append(Part(nose.moved(offset=at + head * np.array([0.5, 0, -0.05])), accent))
    legs = rng.uniform(0.08, 0.14)
    span = rng.uniform(0.1, 0.5)
    for dx in (-0.3, 0.3):
        for dy in (-0.3, 0.3):
            r, z = shapes.solid_profile(np.full(2, legs), np.array([-span, 0.1]))
            leg = shapes.lathe(r, z, 20).moved(offset=[dx * body[0], dy * body[1], -body[2] * 0.38])
            parts.append(Part(leg, coat if rng.random() < 0.7 else accent))
    if rng.random() < 0.5:
        tail = shapes.superellipsoid(rng.uniform(0.1, 0.4, 3), 1, 1)
        parts.append(Part(tail.moved(offset=[-body[0] * 0.5, 0, body[2] * rng.uniform(0, 0.3)]), coat))
    return parts


def _smooth(rng: np.random.Generator, knots: Sequence[tuple[float, ...]], count: int) -> Floats:
    """Rows through the knots (x first), each value varied by a tenth, eased between."""
    varied = np.array(knots) * rng.uniform(0.9, 1.1, np.array(knots).shape)
    x = np.linspace(varied[0, 0], varied[-1, 0], count)
    rows = [x] + [np.interp(x, varied[:, 0], column) for column in varied.T[1:]]
    kernel = np.ones(3) / 3
    eased = [rows[0]] + [np.convolve(np.pad(r, 1, mode="edge"), kernel, mode="valid") for r in rows[1:]]
    return np.stack(eased, -1)


def _shoe(rng: np.random.Generator) -> list[Part]:
    """Trainers, boots and slippers: a lofted upper on a flat sole."""
    shaft = rng.uniform(0.25, 0.7)
    upper = [(0.0, 0.0, 0.08, 0.3, shaft), (0.25, 0.0, 0.08, 0.34, shaft), (0.45, 0.02, 0.08, 0.34, 0.32),
             (0.75, 0.03, 0.08, 0.38, 0.2), (1.0, 0.03, 0.08, 0.24, 0.1)]  # fmt: skip
    sole = [(-0.03, 0.0, 0.0, 0.32, 0.1), (0.4, 0.0, 0.0, 0.34, 0.1), (0.8, 0.03, 0.0, 0.4, 0.09),
            (1.05, 0.03, 0.02, 0.26, 0.08)]  # fmt: skip
    return [
        Part(shapes.loft(_smooth(rng, upper, 24), rng.uniform(0.6, 1.0)), random_texture(rng)),
        Part(shapes.loft(_smooth(rng, sole, 16), 0.5), plain(rng)),
    ]


def _animal(rng: np.random.Generator) -> list[Part]:
    """Four legs, a neck and a tail, all swept: horses, dogs, dinosaurs."""
    coat = random_texture(rng)
    length, leg, girth = rng.uniform(0.8, 1.3), rng.uniform(0.3, 0.8), rng.uniform(0.14, 0.26)
    t = np.linspace(0, 1, 20)
    spine = np.stack([length * (t - 0.5), 0 * t, leg + girth + 0.05 * np.sin(np.pi * t)], -1)
    parts = [Part(shapes.tube(spine, girth * (0.55 + 0.45 * np.sin(np.pi * t) ** 0.5), 1.15), coat)]
    rise, forward = rng.uniform(0.1, 0.7), rng.uniform(0.05, 0.4)
    neck = spine[-2] + np.stack([forward * t, 0 * t, rise * t**0.8], -1)
    parts.append(Part(shapes.tube(neck, girth * np.linspace(0.7, 0.4, 20)), coat))
    head = neck[-1] + np.stack([rng.uniform(0.2, 0.4) * t, 0 * t, -rng.uniform(0, 0.2) * t], -1) - [0.05, 0, 0]
    parts.append(Part(shapes.tube(head, girth * np.linspace(0.6, 0.3, 20)), coat))
    for side in (-1, 1):
        ear = shapes.superellipsoid(girth * np.array([0.25, 0.2, rng.uniform(0.4, 1.2)]), 1, 1)
        parts.append(Part(ear.moved(offset=neck[-1] + girth * np.array([0, 0.3 * side, 0.6])), coat))
        for end in (-0.36, 0.36):
            foot = np.array([length * end + rng.normal(0, 0.06), side * girth * 0.7, 0])
            hip = np.array([length * end, side * girth * 0.55, leg + girth])
            path = foot + (hip - foot) * t[:, None]
            parts.append(Part(shapes.tube(path, girth * np.linspace(0.22, 0.45, 20)), coat))
    droop = rng.uniform(-0.5, 0.4)
    tail = spine[0] + np.stack([-rng.uniform(0.1, 0.5) * t, 0 * t, droop * t**1.5], -1)
    parts.append(Part(shapes.tube(tail, girth * np.linspace(0.3, 0.08, 20)), coat))
    return parts


def _vehicle(rng: np.random.Generator) -> list[Part]:
    """Toy cars, trucks and carts: a body, a cabin, four wheels."""
    paint, tyres = random_texture(rng), plain(rng)
    length, width, height = rng.uniform(0.8, 1.2), rng.uniform(0.35, 0.55), rng.uniform(0.15, 0.3)
    wheel = rng.uniform(0.09, 0.16)
    body = shapes.superellipsoid(np.array([length, width, height]), 0.3, 0.4)
    parts = [Part(body.moved(offset=[0, 0, wheel + height / 2]), paint, "box")]
    cabin = np.array([length * rng.uniform(0.3, 0.65), width * 0.9, rng.uniform(0.15, 0.35)])
    at = [length * rng.uniform(-0.2, 0.2), 0, wheel + height + cabin[2] / 2 - 0.03]
    parts.append(Part(shapes.box(cabin, rng.uniform(0.7, 1.0)).moved(offset=at), random_texture(rng), "box"))
    r, z = shapes.solid_profile(np.full(2, wheel), np.array([0.0, 0.08]))
    disc = shapes.lathe(r, z, 32).moved(rotation=Rotation.from_euler("x", 90, degrees=True).as_matrix())
    for x in (-0.32, 0.32):
        for side in (-1, 1):
            parts.append(Part(disc.moved(offset=[length * x, side * width / 2 + 0.04, wheel]), tyres))
    return parts


def _furniture(rng: np.random.Generator) -> list[Part]:
    """Stools, tables and chairs: a slab on thin legs, with a back or without."""
    finish = random_texture(rng)
    width, depth, height = rng.uniform(0.5, 1.0), rng.uniform(0.45, 0.8), rng.uniform(0.4, 0.9)
    slab = rng.uniform(0.04, 0.12)
    parts = [Part(shapes.box(np.array([width, depth, slab])).moved(offset=[0, 0, height]), finish, "box")]
    thick, splay = rng.uniform(0.025, 0.06), rng.uniform(0, 0.12)
    t = np.linspace(0, 1, 6)[:, None]
    for x in (-1, 1):
        for y in (-1, 1):
            top = np.array([x * (width / 2 - thick), y * (depth / 2 - thick), height])
            foot = np.array([top[0] + x * splay, top[1] + y * splay, 0])
            parts.append(Part(shapes.tube(foot + (top - foot) * t, np.full(6, thick)), finish))
    if rng.random() < 0.5:
        back = np.array([slab, depth, rng.uniform(0.3, 0.8)])
        parts.append(
            Part(shapes.box(back).moved(offset=[-width / 2 + slab / 2, 0, height + back[2] / 2]), finish, "box")
        )
    return parts


def _loop(rng: np.random.Generator) -> list[Part]:
    """Rings, tyres, wreaths, tapes: round a hole, lying or standing."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    bumps = 1 + rng.uniform(0, 0.08) * np.sin(int(rng.integers(3, 12)) * angle)
    path = 0.5 * np.stack([np.cos(angle), rng.uniform(0.7, 1) * np.sin(angle), 0 * angle], -1)
    ring = shapes.loop(path, rng.uniform(0.06, 0.22) * bumps, rng.uniform(0.6, 2.0))
    standing = rng.random() < 0.5
    turn = Rotation.from_euler("x", 90 if standing else 0, degrees=True).as_matrix()
    return [Part(ring.moved(rotation=turn), random_texture(rng))]


def _lamp(rng: np.random.Generator) -> list[Part]:
    """A foot, a stem and a shade or cup: lamps, goblets, trophies, mushrooms."""
    height = rng.uniform(0.8, 1.8)
    foot = rng.uniform(0.2, 0.4)
    r, z = shapes.solid_profile(np.array([foot, foot * 0.8, 0.05, 0.05]), height * np.array([0, 0.05, 0.1, 0.6]))
    parts = [Part(shapes.lathe(r, z), random_texture(rng))]
    shade = rng.uniform(0.25, 0.55, 2)
    r, z = shapes.solid_profile(shade, height * np.array([rng.uniform(0.45, 0.6), 1.0]))
    parts.append(Part(shapes.lathe(r, z), random_texture(rng)))
    return parts


def _stack(rng: np.random.Generator) -> list[Part]:
    """Two to four simple solids leaning on one another: whatever the other families miss."""
    parts: list[Part] = []
    anchor = np.zeros(3)
    for _ in range(rng.integers(2, 5)):
        size = rng.uniform(0.2, 0.8, 3)
        round_form = rng.random() < 0.5
        mesh = shapes.superellipsoid(size, rng.uniform(0.5, 1), rng.uniform(0.5, 1)) if round_form else shapes.box(size)
        turn = Rotation.random(random_state=rng).as_matrix() if rng.random() < 0.3 else np.eye(3)
        parts.append(
            Part(
                mesh.moved(rotation=turn, offset=anchor),
                random_texture(rng),
                "round" if round_form else "box",
            )
        )
        anchor = anchor + rng.normal(0, 0.28, 3) + np.array([0, 0, 0.15])
    return parts


FAMILIES: dict[str, tuple[Callable[[np.random.Generator], list[Part]], float]] = {
    "can": (_can, 0.10), "bottle": (_bottle, 0.13), "bowl": (_bowl, 0.08), "vase": (_vase, 0.05),
    "turned": (_turned, 0.06), "mug": (_mug, 0.08), "pot": (_pot, 0.08), "box": (_box, 0.11),
    "carton": (_carton, 0.06), "rounded": (_rounded, 0.05), "fruit": (_fruit, 0.05), "bent": (_bent_fruit, 0.04),
    "tool": (_tool, 0.03), "toy": (_toy, 0.08), "lamp": (_lamp, 0.03), "stack": (_stack, 0.03),
    "shoe": (_shoe, 0.04), "animal": (_animal, 0.04), "vehicle": (_vehicle, 0.03), "furniture": (_furniture, 0.03),
    "loop": (_loop, 0.03),
}  # fmt: skip
"""Family: its maker and its share."""
