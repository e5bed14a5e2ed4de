"""Virtual machines on the state page, and whether they really run."""

from __future__ import annotations

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.describe import Badge, Cell, Group, Items, Quiet, Section, Table, Tile, View, state
from gcp_emulator.engine.errors import Json
from gcp_emulator.services.compute import machines
from gcp_emulator.services.compute.networks import addresses_of


def describe(context: Context, view: View) -> Section:
    """The instances of a project."""
    note = context.machines.note
    rows: list[list[Cell]] = [
        [
            path.rpartition("/")[2],
            path.split("/")[3],
            _status(instance, runs=context.machines.runs),
            str(instance.get("machineType", "")).rpartition("/")[2],
            Items(list(addresses_of(instance))),
            Quiet(machines.machine(context, path, instance).image),
        ]
        for path, instance in machines.instances(context, f"projects/{view.project}/zones/")
    ]
    table = Table(
        f"{len(rows)} instances", ("Name", "Zone", "Status", "Machine type", "Addresses", "Image"), rows
    )
    return Section(
        "Virtual machines",
        [Group([table], "There is no instance.")],
        lead=note,
        tiles=[Tile(len(rows), "instances")],
    )


def _status(instance: Json, *, runs: bool) -> Cell:
    """The status that the API tells; beside it that nothing runs, where that is so."""
    told = state(instance["status"])
    return told if runs or instance["status"] != "RUNNING" else (told, Badge("record only", "warn"))
