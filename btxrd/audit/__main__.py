"""Write a page on a data set: what is in it, what is wrong with it, what leaks in each split.

Usage:
  python -m btxrd.audit [KEY=VALUE ...]

  python -m btxrd.audit data=btxrd data.root=FOLDER
  python -m btxrd.audit data=btxrd data.root=FOLDER split=manifest split.manifest=FILE

The page, audit.html, and the same as audit.json go into hydra.run.dir, outputs/DATE/TIME.
"""

import sys

from btxrd.runtime.surroundings import settle_in


def main() -> int:
    """Answer the command line; returns the exit status."""
    settle_in()
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return 0
    from btxrd.config.messages import one_line_errors
    from btxrd.execution.planning import compose_one

    with one_line_errors():
        plan = compose_one(sys.argv[1:])
        (config,) = plan.runs.values()

        from btxrd.audit.findings import audit
        from btxrd.audit.page import as_text, claim_audit_folder, write_audit
        from btxrd.errors import InputError

        claim_audit_folder(plan.folder, config.data)
        found, report = audit(config.data, config.split)
        try:
            write_audit(plan.folder, found, report)
        except OSError as error:
            raise InputError(f"hydra.run.dir={plan.folder}: cannot be written ({error})") from error
        print(as_text(report))
        print(plan.folder / "audit.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
