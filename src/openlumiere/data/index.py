"""Tables that say what lies in the shards: written and read as Parquet (or JSON lines), checked row
by row.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from openlumiere.media.write import write_whole

Row = dict[str, object]
Columns = Mapping[str, type]  # column name -> the Python type of its values


def write(rows: Iterable[Row], path: Path) -> None:
    """Write rows to a `.parquet` file, all or nothing."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist(list(rows))
    write_whole(path, lambda made: pyarrow.parquet.write_table(table, made, compression="zstd"))


def read(path: Path, columns: Columns) -> list[Row]:
    """The rows of a Parquet file, each with every one of `columns`, of its type.

    Raises:
        ValueError: no such file, not Parquet, or a row that is not as `columns` say.
    """
    rows = _table(path).to_pylist()
    return [validate(row, columns, f"{path.name} row {number}") for number, row in enumerate(rows)]


def read_lines(text: str, columns: Columns, name: str) -> list[Row]:
    """The rows of JSON lines, one object a line. Raises ValueError as `read` does."""
    return [
        validate(_parsed(line, f"{name} row {n}"), columns, f"{name} row {n}")
        for n, line in enumerate(text.splitlines())
    ]


def validate(row: object, columns: Columns, where: str) -> Row:
    """The row itself. Raises ValueError, naming `where` and the first column that is missing or of
    another type.
    """
    if not isinstance(row, dict):
        raise ValueError(
            f"expected an object in {where}, got {type(row).__name__}: write the index again"
        )
    for column, kind in columns.items():
        if type(row.get(column)) is not kind:
            got = type(row[column]).__name__ if column in row else "no such column"
            raise ValueError(
                f"expected {kind.__name__} in column '{column}' of {where}, got {got}: write the"
                " index again"
            )
    return row


def _table(path: Path):
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(
            path
        ).read()  # one file: no guessing from the folder's name
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:80]
        raise ValueError(
            f"expected a Parquet index at {path}, got '{reason}': build the data again"
        ) from None


def _parsed(line: str, where: str) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        raise ValueError(
            f"expected JSON in {where}, got {line[:30]!r}: write the index again"
        ) from None
