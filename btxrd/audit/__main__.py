"""Check a data set (`btxrd audit`)."""

import sys

from btxrd.config import parsers
from btxrd.runtime.surroundings import settle_in


def main() -> int:
    """Run the command line; return the exit status."""
    settle_in()
    parser = parsers.audit()
    if parser.answer_help(sys.argv[1:]):
        return 0
    from btxrd.config.messages import one_line_errors
    from btxrd.execution.planning import compose_one

    with one_line_errors():
        plan = compose_one(parser.parse_args().overrides)
        (config,) = plan.runs.values()

        from btxrd.audit.findings import audit
        from btxrd.audit.page import as_text, claim_audit_folder, write_audit
        from btxrd.errors import InputError
        from btxrd.runtime.files import describe_os_error

        claim_audit_folder(plan.folder, config.data)
        found, report = audit(config.data, config.split)
        try:
            write_audit(plan.folder, found, report)
        except OSError as error:
            why = describe_os_error(error)
            raise InputError(
                f"hydra.run.dir={plan.folder}: cannot be written ({why}); name another folder"
            ) from error
        print(as_text(report))
        print(plan.folder / "audit.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
