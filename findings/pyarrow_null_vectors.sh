#!/usr/bin/env bash
# Vectors of fixed size in Parquet, of which some are missing.
#
# Guess, written down before the first run: what pq.write_table wrote, pq.read_table of the same release reads; so a
# column of embeddings (fixed_size_list), null where a file could not be computed, can be kept in Parquet.
#
# Seen, with pyarrow on Python 3.11:
#   18.0.0, 24.0.0  a table that was built is refused when it is written: ArrowNotImplementedError, "Lists with
#                   non-zero length null components are not supported"
#   25.0.0          it is written without a word, and the file is refused when it is read: ArrowInvalid, "Expected all
#                   lists to be of size=2 but index 2 had size=0"
#   26.0.0          it is written and read, and is the same
# A row of which 25.0.0 wrote the file is not lost: 26.0.0 reads that file. Until then: lists of variable size, or
# zeros and a column that says which are missing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/new"
"$folder/new/bin/pip" install --quiet pyarrow==26.0.0
python3 -m venv "$folder/old"
cat > "$folder/write.py" <<'PYTHON'
import sys
import pyarrow as pa
import pyarrow.parquet as pq
vectors = pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2))
try:
    pq.write_table(pa.table({"vector": vectors}), sys.argv[1])
    print("written")
except pa.ArrowNotImplementedError as error:
    print("not written:", error)
PYTHON
cat > "$folder/read.py" <<'PYTHON'
import sys
import pyarrow as pa
import pyarrow.parquet as pq
try:
    print(pq.read_table(sys.argv[1])["vector"].to_pylist())
except pa.ArrowInvalid as error:
    print("not read:", error)
PYTHON
for version in 18.0.0 24.0.0 25.0.0; do
    "$folder/old/bin/pip" install --quiet pyarrow==$version
    "$folder/old/bin/python" "$folder/write.py" "$folder/$version.parquet" | tee -a "$folder/said"
done
"$folder/old/bin/python" "$folder/read.py" "$folder/25.0.0.parquet" | tee -a "$folder/said"
"$folder/new/bin/python" "$folder/write.py" "$folder/26.0.0.parquet" | tee -a "$folder/said"
"$folder/new/bin/python" "$folder/read.py" "$folder/26.0.0.parquet" | tee -a "$folder/said"
"$folder/new/bin/python" "$folder/read.py" "$folder/25.0.0.parquet" | tee -a "$folder/said"
diff "$folder/said" - <<'SEEN'
not written: Lists with non-zero length null components are not supported
not written: Lists with non-zero length null components are not supported
written
not read: Expected all lists to be of size=2 but index 2 had size=0
written
[[1.0, 2.0], None, [3.0, 4.0]]
[[1.0, 2.0], None, [3.0, 4.0]]
SEEN
echo "as described"
