import { ProblemError } from "../api/problem";
import { t } from "../strings";
import { Button } from "./button";
import { ErrorNotice, Notice } from "./notice";

interface SaveErrorProps {
  error: unknown;
  /** Loads what is stored now, under what the form has changed. */
  reload: { mutate: () => void; isPending: boolean; error: unknown };
}

/** Why a form was not saved; if others have changed the same object meanwhile, with what to do. */
export function SaveError({ error, reload }: SaveErrorProps) {
  if (reload.error) return <ErrorNotice error={reload.error} retry={() => reload.mutate()} />;
  if (!(error instanceof ProblemError && error.problem.status === 412)) return <ErrorNotice error={error} />;
  const button = (
    <Button disabled={reload.isPending} onClick={() => reload.mutate()}>
      {t.errors.changedReload}
    </Button>
  );
  return (
    <Notice kind="bad" title={t.errors.changedMeanwhile} action={button}>
      <p>{t.errors.changedText}</p>
    </Notice>
  );
}
