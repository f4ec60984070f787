"""Renders the actions of one glb file: run by Blender's own Python, never imported.

    python blender.py FILE.glb JOB.json OUT

The job is a list of `{"name", "animation", "views"}`. Of each action and view it writes
`OUT/NAME/VIEW/000.png ...`, straight RGBA, and then `OUT/NAME/VIEW/facts.json`, so what has its
facts is whole. Blender is a tool with a licence of its own (GPL).
"""

import json
import math
import sys
from pathlib import Path

import bpy
import mathutils
import numpy as np

SIDE = 128  # pixels
SAMPLES = 12
RATE = 16  # frames a second of the world
LEAST, MOST = 8, 24  # frames of a loop
MARGIN = 1.08  # of the frame beyond what is seen
RISE = {"side": 0.2, "quarter": 0.35, "front": 0.25}  # of the camera, in radians
YAW = {
    "side": math.pi / 2,
    "quarter": math.pi / 4,
    "front": 0.0,
}  # about the subject, which faces -y
SUNS = (  # strength, rotation in radians, whether it casts shadows
    (3.0, (0.7, 0.1, 0.6), True),
    (1.7, (1.2, 0.0, -0.7), False),
    (1.2, (0.9, 0.0, 2.2), False),
    (0.6, (2.6, 0.0, 0.0), False),
)
CONTACT = 0.04  # of the height: what is lower touches the ground


def main() -> None:
    """Render the actions that a job names, from the command's words: glb, job, out."""
    glb, job, out = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3])
    try:
        armature, meshes = open_toy(glb)
    except Exception as error:  # whatever Blender's importer stumbles over
        sys.exit(reason(error))
    set_up(bpy.context.scene)
    faults = []
    for action in job:
        try:
            render_action(armature, meshes, action, out)
        except Exception as error:  # the other actions are rendered all the same
            faults.append(f"{action['name']}: {reason(error)}")
    if faults:
        sys.exit("; ".join(faults))


def reason(error: Exception) -> str:
    """The last line of what went wrong, before the place in Blender's own code."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("Location:")]
    return said[-1] if said else type(error).__name__


def open_toy(glb: Path):
    """The armature and what is seen. Raises ValueError without bones, animation or skin."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(glb))
    armatures = [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]
    if not armatures or not bpy.data.actions:
        raise ValueError(
            f"toy: expected bones and an animation, got none in {glb.name}, export it with both"
        )
    armature = armatures[0]
    armature.animation_data_create()
    for track in armature.animation_data.nla_tracks:
        track.mute = True
    for thing in bpy.data.objects:
        thing.hide_render = thing.name.startswith("Ico")
    meshes = [thing for thing in bpy.data.objects if thing.type == "MESH" and not thing.hide_render]
    if not meshes:
        raise ValueError(f"toy: expected a mesh, got none in {glb.name}, export it with its skin")
    for material in bpy.data.materials:
        make_matt(material)
    return armature, meshes


def make_matt(material) -> None:
    """Metal mirrors a world that is black here, and glints are what a small codec keeps least."""
    for node in material.node_tree.nodes if material.use_nodes else ():
        if node.type == "BSDF_PRINCIPLED":
            limit(node.inputs["Roughness"], least=0.75)
            limit(node.inputs["Specular IOR Level"], most=0.15)
            limit(node.inputs["Metallic"], most=0.1)


def limit(value, least: float = 0.0, most: float = 1.0) -> None:
    """Bring a socket's value between two bounds."""
    value.default_value = min(max(value.default_value, least), most)


def set_up(scene) -> None:
    """Suns alone, all but one without shadow: there is next to no noise, and twelve samples only
    smooth edges.
    """
    render, cycles = scene.render, scene.cycles
    render.engine, render.resolution_x, render.resolution_y = "CYCLES", SIDE, SIDE
    render.film_transparent, render.image_settings.color_mode = True, "RGBA"
    render.image_settings.compression, render.use_persistent_data = 15, True
    render.threads_mode, render.threads = "FIXED", 1
    scene.view_settings.view_transform = "Standard"
    cycles.device, cycles.samples, cycles.use_denoising, cycles.max_bounces = (
        "CPU",
        SAMPLES,
        False,
        1,
    )
    cycles.use_adaptive_sampling = False
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs[1].default_value = 0.0
    for energy, turn, shadow in SUNS:
        add_sun(scene, energy, turn, shadow)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.type, camera.data.clip_end = "ORTHO", 1e5
    scene.collection.objects.link(camera)
    scene.camera = camera


def add_sun(scene, energy, turn, shadow) -> None:
    """A sun that shines from a direction."""
    light = bpy.data.lights.new("sun", "SUN")
    light.energy, light.angle, light.use_shadow = energy, 0.02, shadow
    sun = bpy.data.objects.new("sun", light)
    sun.rotation_euler = turn
    scene.collection.objects.link(sun)


def render_action(armature, meshes, action, out: Path) -> None:
    """All views of an action, each in a folder of its own."""
    scene = bpy.context.scene
    views = [
        view
        for view in action["views"]
        if not (out / action["name"] / view / "facts.json").is_file()
    ]
    if not views:
        return
    first, last = pose(armature, action["animation"])
    seconds = (last - first) / scene.render.fps
    count = min(max(round(seconds * RATE), LEAST), MOST)
    moments = [first + (last - first) * index / count for index in range(count)]
    clouds = [points(meshes, moment) for moment in moments]
    last_points = points(meshes, last)
    for view in views:
        facts = {
            "seconds": seconds,
            "frames": count,
            "view": view,
            **motion_facts(clouds, last_points, seconds),
        }
        render_view(clouds, moments, view, facts, out / action["name"] / view)


def pose(armature, animation: str) -> tuple[float, float]:
    """Give the armature an action; answers its range of frames."""
    found = [one for one in bpy.data.actions if one.name == animation] or [
        one for one in bpy.data.actions if one.name.startswith(animation)
    ]
    if not found:
        raise ValueError(
            f"expected the animation {animation}, "
            f"got {sorted(one.name for one in bpy.data.actions)}"
        )
    armature.animation_data.action = found[0]
    if found[0].slots:
        armature.animation_data.action_slot = found[0].slots[0]
    return tuple(found[0].frame_range)


def points(meshes, moment: float) -> np.ndarray:
    """World coordinates [n, 3] of all vertices at a moment, in frames."""
    scene = bpy.context.scene
    scene.frame_set(int(moment), subframe=moment - int(moment))
    graph = bpy.context.evaluated_depsgraph_get()
    clouds = []
    for mesh in meshes:
        posed = mesh.evaluated_get(graph)
        flat = np.empty(3 * len(posed.data.vertices), np.float32)
        posed.data.vertices.foreach_get("co", flat)
        turn = np.array(posed.matrix_world, np.float32)
        clouds.append(flat.reshape(-1, 3) @ turn[:3, :3].T + turn[:3, 3])
    return np.concatenate(clouds)


def motion_facts(clouds, last_points, seconds: float) -> dict:
    """Heights and lengths of the first pose, the speed of the feet over the ground, and how far the
    end is from the start.
    """
    stack = np.stack(clouds)
    low, high = stack[0].min(0), stack[0].max(0)
    step = np.abs(np.diff(stack, axis=0)).mean((1, 2))
    return {
        "height": float(high[2] - low[2]),
        "length": float(high[1] - low[1]),
        "width": float(high[0] - low[0]),
        "foot_speed": foot_speed(stack, seconds),
        "seam": float(np.abs(last_points - stack[0]).mean()),
        "step": float(np.median(step)),
        "rise": float((stack[:, :, 2].min(1) - stack[:, :, 2].min()).max()),
    }


def foot_speed(stack: np.ndarray, seconds: float) -> float:
    """Median speed backwards (+y) of what touches the ground, in units a second."""
    height = stack[0, :, 2].max() - stack[0, :, 2].min()
    touching = stack[:-1, :, 2] < stack[:, :, 2].min() + CONTACT * height
    back = np.diff(stack[:, :, 1], axis=0) * len(stack) / seconds
    return float(np.median(back[touching])) if touching.any() else 0.0


def render_view(clouds, moments, view: str, facts: dict, folder: Path) -> None:
    """The frames of a view, then its facts: a view with facts is complete."""
    scene = bpy.context.scene
    way = direction(view)
    right = np.cross(-way, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, -way)
    every = np.concatenate(clouds)
    across, along = every @ right, every @ up
    wide, tall = float(np.ptp(across)), float(np.ptp(along))
    scale = max(wide, tall) * MARGIN
    middle = right * (across.max() + across.min()) / 2 + up * (along.max() + along.min()) / 2
    camera = scene.camera
    camera.data.ortho_scale = scale
    camera.location = mathutils.Vector((middle + way * 10 * max(scale, 1.0)).tolist())
    camera.rotation_euler = mathutils.Vector((-way).tolist()).to_track_quat("-Z", "Y").to_euler()
    folder.mkdir(parents=True, exist_ok=True)
    for number, moment in enumerate(moments):
        scene.frame_set(int(moment), subframe=moment - int(moment))
        scene.render.filepath = str(folder / f"{number:03}.png")
        bpy.ops.render.render(write_still=True)
    lowest = float((clouds[0] @ up).min() - middle @ up)
    facts |= {"pixels_a_unit": SIDE / scale, "ground": SIDE / 2 - lowest * SIDE / scale}
    (folder / "facts.json").write_text(json.dumps(facts))


def direction(view: str) -> np.ndarray:
    """From the subject to the camera."""
    yaw, rise = YAW[view], RISE[view]
    return np.array(
        [math.sin(yaw) * math.cos(rise), -math.cos(yaw) * math.cos(rise), math.sin(rise)]
    )


main()
