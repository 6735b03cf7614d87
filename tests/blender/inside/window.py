"""Prepare a window for the mouse, and keep telling the test what there is to see in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import bpy
from support import arguments, part

*paths, settings = arguments()
picture, told = map(Path, paths)


def prepare() -> None:
    """The picture on the left, the empty scene on the right."""
    screen = bpy.context.window_manager.windows[0].screen
    area = max(screen.areas, key=lambda area: area.width * area.height)
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=area):
        bpy.ops.screen.area_split(direction="VERTICAL", factor=0.5)
    left = min((area for area in screen.areas if area.type == "VIEW_3D"), key=lambda area: area.x)
    left.type = "IMAGE_EDITOR"
    left.spaces.active.image = bpy.data.images.load(str(picture))
    for body in list(bpy.data.objects):
        bpy.data.objects.remove(body)
    for area in screen.areas:
        if area.type == "VIEW_3D":
            area.spaces.active.shading.color_type = "TEXTURE"
    for name, value in json.loads(settings).items():
        setattr(bpy.context.scene.unocclude, name, value)


def tell() -> float:
    """Where the regions are (window pixels, origin at the bottom left) and how far things have come."""
    window = bpy.context.window_manager.windows[0]
    editor = next(area for area in window.screen.areas if area.type == "IMAGE_EDITOR")
    scene = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    regions = {region.type: region for region in editor.regions}
    view = regions["WINDOW"].view2d
    corners = [view.view_to_region(*corner, clip=False) for corner in ((0, 0), (1, 1))]
    image = editor.spaces.active.image
    job = part("jobs").session.job
    bodies = [body for body in bpy.data.objects if body.type == "MESH"]
    mask_view = part("mask_view")
    news = {
        "height": window.height,
        "view_3d": [scene.x, scene.y, scene.width, scene.height],
        "regions": {name: [region.x, region.y, region.width, region.height] for name, region in regions.items()},
        "picture": corners,
        "tool": getattr(window.workspace.tools.from_space_image_mode("VIEW"), "idname", None),
        "mask": not mask_view.view.busy and len(mask_view.view.drawing.rectangles),
        "mask_error": mask_view.view.error and str(mask_view.view.error),
        "box": list(image.unocclude.box),
        "strokes": len(image.unocclude.strokes),
        "source": image.unocclude.source,
        "waiting": len(part("jobs").session.waiting),
        "preview": bool(job and job.preview),
        "coverage": job and job.coverage,
        "camera": job and job.camera,
        "view": scene.spaces.active.region_3d.view_perspective,
        "points": [[point.x, point.y, point.negative] for point in image.unocclude.points],
        "reference": getattr(bpy.context.scene.unocclude.image, "name", None),
        "phase": job and job.phase.name,
        "error": job and job.error and str(job.error),
        "bodies": [body.name for body in bodies],
        "active": getattr(window.view_layer.objects.active, "name", None),
        "textures": [
            node.image.name
            for body in bodies
            for node in body.active_material.node_tree.nodes
            if node.type == "TEX_IMAGE" and node.image.packed_file
        ],
    }
    draft = told.with_suffix(".draft")
    draft.write_text(json.dumps(news))
    os.replace(draft, told)
    return 0.1


prepare()
bpy.app.timers.register(tell)
