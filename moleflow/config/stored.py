"""A run's ``config.json`` read back into the configuration it was written from."""

from collections.abc import Mapping
from dataclasses import Field
from typing import Any

from moleflow.config.ablation import AblationConfig
from moleflow.config.knobs import knobs_of, variants_of
from moleflow.config.resolve import Resolved, checked, flat, run_groups, slots
from moleflow.config.run import RunConfig
from moleflow.utils.errors import MoleflowError, UsageError


def stored_config(content: Any, source: str) -> Resolved:
    """The configuration that ``Resolved.to_store`` wrote; what an older one does not say yet has its default.

    Args:
        content: the JSON object.
        source: where it was read, for the message.

    Raises:
        MoleflowError: it is damaged or of a newer version.
    """
    try:
        ablation = {name: _variant(place, content["ablation"].get(name)) for name, place in slots().items()}
        run = {name: _filled(group, content["run"].get(name, {})) for name, group in run_groups().items()}
        flags, sources = flat(AblationConfig(**ablation), RunConfig(**run), {})
        sources |= content["sources"]
        named = dict(content.get("named", {}))
    except (AttributeError, KeyError, TypeError, ValueError, StopIteration, UsageError) as error:
        raise MoleflowError(
            f"{source} is no configuration this moleflow can read ({type(error).__name__}: {error}): "
            "restore it from a copy, or update moleflow if a newer one wrote it."
        ) from error
    return Resolved(AblationConfig(**ablation), RunConfig(**run), flags, sources, named=named)


def _variant(place: Field[Any], stored: Mapping[str, Any] | None) -> Any:
    if stored is None:
        return place.default
    variant = next(variant for variant in variants_of(place) if variant.__name__ == stored["variant"])
    return _filled(variant, {name: value for name, value in stored.items() if name != "variant"})


def _filled(owner: type, stored: Mapping[str, Any]) -> Any:
    knobs = {one.name: one for one in knobs_of(owner)}
    return owner(**{name: checked(knobs[name], value) for name, value in stored.items()})
