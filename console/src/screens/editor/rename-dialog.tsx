import { type FormEvent, useState } from "react";
import { t } from "../../strings";
import { editorTexts } from "../../strings/editor";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Field, TextInput } from "../../ui/field";
import { useDraft, useEditor } from "./editor-context";

const FORM = "rename-flow";

export function RenameDialog({ onClose }: { onClose: () => void }) {
  const { drafts } = useEditor().session;
  const draft = useDraft();
  const [name, setName] = useState(draft.name);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    drafts.edit({ ...draft, name: name.trim() });
    onClose();
  };
  return (
    <Dialog
      title={editorTexts.renameTitle}
      onClose={onClose}
      narrow
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button type="submit" form={FORM} look="primary" disabled={name.trim() === ""}>
            {editorTexts.apply}
          </Button>
        </>
      }
    >
      <form id={FORM} onSubmit={submit}>
        <Field label={editorTexts.name}>
          <TextInput value={name} onValueChange={setName} required maxLength={200} />
        </Field>
      </form>
    </Dialog>
  );
}
