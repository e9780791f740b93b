"""Every error that Diptych raises on purpose, drawn once.

    DiptychError
    ├── ConfigError             a setting is out of range or unknown
    │   └── FilterError         a filter by metadata is malformed, or names a key that no document has
    ├── BaseModelError          a base model is missing, damaged or cannot be converted
    ├── WeightsError            trained weights are missing, damaged or made for another base
    ├── StoreError              a workspace cannot be read or written
    │   ├── ChecksumMismatch    a file does not match its manifest
    │   ├── VersionMismatch     a generation was built by another prep version
    │   ├── DimensionMismatch   query and index vectors differ in length
    │   ├── WorkspaceLocked     another process is writing
    │   └── EmptyStore          there is no generation to search
    ├── DataError               labelled or corpus data does not follow the schema
    ├── TeacherError            an outside model that was configured cannot be used
    └── DependencyError         an optional dependency is needed and not installed

A document that cannot be read is data, not an error: see `prep.document.Rejected`.
"""

__all__ = [
    "BaseModelError",
    "ChecksumMismatch",
    "ConfigError",
    "DataError",
    "DependencyError",
    "DimensionMismatch",
    "DiptychError",
    "EmptyStore",
    "FilterError",
    "StoreError",
    "TeacherError",
    "VersionMismatch",
    "WeightsError",
    "WorkspaceLocked",
]


class DiptychError(Exception):
    """The root of the tree. A message says what failed, the value, and what to do next."""


class ConfigError(DiptychError, ValueError):
    """A setting is out of range or unknown."""


class FilterError(ConfigError):
    """A filter by metadata is malformed, or names a key that no document has."""


class BaseModelError(DiptychError):
    """A base model is missing, damaged or cannot be converted."""


class WeightsError(DiptychError):
    """Trained weights are missing, damaged or made for another base."""


class StoreError(DiptychError):
    """A workspace cannot be read or written."""


class ChecksumMismatch(StoreError):
    """A file does not match the checksum in its manifest."""


class VersionMismatch(StoreError):
    """A generation was built by another prep version than the one at hand."""


class DimensionMismatch(StoreError):
    """Query vectors and index vectors differ in length."""


class WorkspaceLocked(StoreError):
    """Another process is writing to the workspace."""


class EmptyStore(StoreError):
    """There is no generation to search: nothing has been ingested."""


class DataError(DiptychError, ValueError):
    """Labelled or corpus data does not follow the documented schema."""


class TeacherError(DiptychError):
    """An outside model that was configured to write questions refuses, fails or cannot be reached."""


class DependencyError(DiptychError, ImportError):
    """An optional dependency is needed and not installed."""
