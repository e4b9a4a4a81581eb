"""Any Dask cluster: how it is found or started, and how tasks are kept on it until all are done."""
