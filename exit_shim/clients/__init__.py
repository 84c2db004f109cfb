"""The client libraries: doors, proxy, class patching, accounts and what their answers mean."""
