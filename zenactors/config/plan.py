"""From recipes and a configuration to components: the one way in which they get their options.

`Dispatcher`, `ZenDaemon`, its reload and a SPEC all use a `Plan`. It calls constructors, but sets
nothing up. Thread: main before the start, control at a reload.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic

from zenactors.config.component_options import Effective, make_component, section_of
from zenactors.config.merge import COMPONENTS, DEFAULT, PROGRAM, Configuration, load
from zenactors.config.options import Table
from zenactors.config.redaction import without_secrets
from zenactors.config.sources import Layer
from zenactors.config.supervision import SUPERVISION
from zenactors.config.wording import constructor_failure
from zenactors.core.component import ZenDaemonComponent, change, make, recipe_of, remake
from zenactors.core.entries import ComponentEntry, component_entries
from zenactors.core.recipe import Recipe, place_of
from zenactors.core.replicas import Replicas
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    from zenactors.config.merge import Sections


class _Components(Table):
    """A configuration of which only the components are of interest."""

    components: dict[str, dict[str, Any]] = pydantic.Field(default={})


def made_early(components: Iterable[Any]) -> list[Any]:
    """Return components with those recipes made that need nothing from the configuration.

    A component's name is known for certain when it is made. A class is a recipe.
    """
    return [_made_early(each) for each in components]


def _made_early(component: Any) -> Any:
    if isinstance(component, type) and issubclass(component, ZenDaemonComponent):
        component = Recipe(component)
    if not isinstance(component, Recipe):
        return component
    try:
        return make_component(component)
    except (Exception, SystemExit):  # perhaps not with the options of the configuration
        return component


def entries_of(components: Sequence[Any]) -> list[ComponentEntry]:
    """Return the components by their names in a configuration."""
    return [entry for entry in component_entries(components) if entry.router is None]


def sections_of(entries: Iterable[ComponentEntry]) -> Sections:
    """Return the options that each component takes."""
    return {entry.name: section_of(instances_of(entry.component)[0]) for entry in entries}


def instances_of(component: Any) -> list[Any]:
    """Return a component, or all instances of `Replicas`."""
    return component.instances if isinstance(component, Replicas) else [component]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Components, and the configuration that they are to have.

    Attributes:
        entries: The components by name; recipes, as far as they are not made yet.
        configuration: The configuration, with the options of all of them.
    """

    entries: list[ComponentEntry]
    configuration: Configuration

    @property
    def options(self) -> dict[str, dict[str, Any]]:
        """The options of each component; of replicas, those of the first."""
        components: Mapping[str, dict[str, Any]] = self.configuration.values[COMPONENTS]
        found = {entry.name: dict(components.get(entry.name, {})) for entry in self.entries}
        for name in self.configuration.supervision:
            found[name].pop(SUPERVISION, None)
        return found

    def make(self) -> tuple[list[Any], set[int]]:
        """Give all components their options; return them, and the indexes of those that changed.

        A recipe is made. A component that was made with other options is initialised again.

        Raises:
            ConfigurationError: One line for each constructor that raises.
        """
        made: list[Any] = []
        changed: set[int] = set()
        problems: list[str] = []
        for index, entry in enumerate(self.entries):
            try:
                component, is_changed = self._configured(entry)
            except ConfigurationError as cause:
                problems += str(cause).splitlines()
                continue
            made.append(component)
            if is_changed:
                changed.add(index)
        if problems:
            raise ConfigurationError("\n".join(problems))
        return made, changed

    def sections(self) -> Sections:
        """Return the options that each component takes."""
        return sections_of(self.entries)

    def made(self, name: str) -> Any:
        """Give one component its options, and return it.

        Raises:
            ConfigurationError: The constructor raises.
        """
        return self._configured(self._find(name))[0]

    def renewed(self, name: str) -> Any:
        """Return a new component, made from the recipe of one; None if that has no recipe.

        Raises:
            ConfigurationError: The constructor raises.
        """
        recipe = recipe_of(self._find(name).component)
        return None if recipe is None else self._make(name, recipe)

    def has_one_of(self, components: Iterable[Any], name: str) -> bool:
        """Return True if the component of this name is one of these objects, and no new one."""
        component = self._find(name).component
        return any(component is each for each in components)

    def remaker(self, name: str) -> Callable[[Any, int], None]:
        """Return a function that initialises a replica again, by the recipe of its number."""
        instances = instances_of(self._find(name).component)

        def initialise(replica: Any, number: int) -> None:
            recipe = recipe_of(instances[number])
            if recipe is not None:
                effective = self._effective(name, instances[number])
                remake(replica, recipe, effective.options, effective.arguments)

        return initialise

    def _find(self, name: str) -> ComponentEntry:
        return next(entry for entry in self.entries if entry.name == name)

    def _configured(self, entry: ComponentEntry) -> tuple[Any, bool]:
        component = entry.component
        if isinstance(component, Recipe):
            return self._made_late(entry.name, component), False
        changed = [self._change(entry.name, each) for each in instances_of(component)]
        if any(changed) and isinstance(component, Replicas):
            component.take_events()
        return component, any(changed)

    def _made_late(self, name: str, recipe: Recipe) -> Any:
        made = self._make(name, recipe)
        [found, *_] = entries_of([made])
        if found.name != recipe.name:
            raise ConfigurationError(
                f"component {name!r}: it calls itself {found.name!r}, so the configuration would"
                f" not find it: let the constructor of {recipe.cls.__name__} take a name, and give"
                " one to its Recipe"
            )
        return made

    def _make(self, name: str, recipe: Recipe) -> Any:
        effective = self._effective(name, recipe)
        try:
            return make(recipe, effective.options, effective.arguments)
        except (Exception, SystemExit) as cause:
            raise self._explained(name, cause, effective) from cause

    def _change(self, name: str, component: Any) -> bool:
        if recipe_of(component) is None:
            return False
        effective = self._effective(name, component)
        try:
            return change(component, effective.options, effective.arguments)
        except (Exception, SystemExit) as cause:
            raise self._explained(name, cause, effective) from cause

    def _effective(self, name: str, component: Any) -> Effective:
        section = section_of(component)
        if section is None:
            return Effective({}, {}, {})
        effective, problems = section.resolve(self.configuration.tables.get(name, {}))
        if effective is None:  # of one of several replicas
            raise ConfigurationError(
                "\n".join(f"component {name!r}: {problem}" for _, problem in problems)
            )
        return effective

    def _explained(
        self, name: str, cause: BaseException, effective: Effective
    ) -> ConfigurationError:
        reason = without_secrets(constructor_failure(cause), effective.options)
        return ConfigurationError(
            f"{place_of(self.places(name), cause)}component {name!r}: {reason}"
        )

    def places(self, name: str) -> dict[str, str]:
        """Return where the configuration sets each option of a component that it sets."""
        table = self.configuration.tables.get(name, {})
        return {
            str(path[2]): origin
            for path, origin in self.configuration.origins.items()
            if path[:2] == (COMPONENTS, name)
            and path[2:]
            and (path[2] != SUPERVISION or path[2] in table)
            # Of a SPEC, the file gives the options instead of the program.
            and (path[2] in table or origin not in {DEFAULT, PROGRAM})
        }


def plan_for(components: Sequence[Any], config: Mapping[str, Any]) -> Plan:
    """Return the plan for components outside of a `ZenDaemon`.

    Args:
        components: Components, recipes and classes.
        config: A configuration; only its table `components` is used, and checked.

    Raises:
        ConfigurationError: One line for each problem.
    """
    entries = entries_of(made_early(components))
    table = {COMPONENTS: config[COMPONENTS]} if COMPONENTS in config else {}
    layer = Layer(kind="program", label="program", data=table)
    return Plan(entries, load(_Components, [layer], sections_of(entries)))
