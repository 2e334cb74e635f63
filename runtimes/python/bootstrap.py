"""Entry point of the Python runtime: `python3 /var/runtime/bootstrap.py`, working directory /var/task.

Kept tiny on purpose: Python never caches the bytecode of the file it is started with, so everything else
lives in `hearth_runtime`, whose bytecode is cached where the platform has compiled it ahead.
"""

if __name__ == "__main__":
    from hearth_runtime.loop import main

    main()
