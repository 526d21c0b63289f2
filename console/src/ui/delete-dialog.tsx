import { type FormEvent, useId, useState } from "react";
import { useChange } from "../api/change";
import { t } from "../strings";
import { AsCurl } from "./as-curl";
import { Button } from "./button";
import { Dialog } from "./dialog";
import { Field, TextInput } from "./field";
import { ErrorNotice } from "./notice";

interface DeleteDialogProps {
  title: string;
  /** What goes with it. */
  text: string;
  /** What has to be typed. */
  name: string;
  submit: string;
  /** Of the request that deletes it. */
  path: string;
  send: () => Promise<unknown>;
  /** As of `useChange`. */
  reloads: readonly string[];
  onDeleted: () => void;
  onClose: () => void;
}

/** Asks for the name of what is deleted: this cannot be undone. */
export function DeleteDialog(props: DeleteDialogProps) {
  const [typed, setTyped] = useState("");
  const remove = useChange(props.send, { reloads: props.reloads, onDone: props.onDeleted });
  const form = useId();
  const isRight = typed.trim() === props.name;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isRight && !remove.isPending) remove.mutate(undefined, { onSuccess: props.onClose });
  };
  return (
    <Dialog
      title={props.title}
      narrow
      onClose={props.onClose}
      footer={
        <>
          <Button onClick={props.onClose}>{t.common.cancel}</Button>
          <Button type="submit" form={form} look="danger" disabled={!isRight || remove.isPending}>
            {props.submit}
          </Button>
        </>
      }
    >
      <form id={form} onSubmit={submit}>
        <Field label={t.common.typeName(props.name)} hint={props.text}>
          <TextInput value={typed} onValueChange={setTyped} autoComplete="off" spellCheck={false} />
        </Field>
      </form>
      {remove.error ? <ErrorNotice error={remove.error} /> : null}
      <AsCurl calls={[{ method: "DELETE", path: props.path }]} />
    </Dialog>
  );
}
