import { type FormEvent, useState } from "react";
import { useChange } from "../../api/change";
import { api } from "../../api/client";
import { fieldErrors } from "../../api/problem";
import { t } from "../../strings";
import { flowTexts } from "../../strings/flows";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Field, TextInput } from "../../ui/field";
import { ErrorNotice } from "../../ui/notice";
import { toast } from "../../ui/toast";

const FORM = "name-revision";
const texts = flowTexts.history.name;

/** Names the present draft, so that it is kept. */
export function NameDialog({ flowId, onClose }: { flowId: string; onClose: () => void }) {
  const [name, setName] = useState("");
  const body = { name: name.trim() };
  const keep = useChange(
    () => api.POST("/node/flows/{flow_id}/revisions/", { params: { path: { flow_id: flowId } }, body }),
    {
      reloads: ["/node/flows/{flow_id}/revisions/"],
      onDone: () => toast(texts.done(body.name)),
    },
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!keep.isPending) keep.mutate(undefined, { onSuccess: onClose });
  };
  const errors = fieldErrors(keep.error);
  return (
    <Dialog
      title={texts.title}
      narrow
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button type="submit" form={FORM} look="primary" disabled={!body.name || keep.isPending}>
            {texts.submit}
          </Button>
        </>
      }
    >
      <form id={FORM} onSubmit={submit}>
        <Field label={texts.label} hint={texts.hint} error={errors["name"]}>
          <TextInput value={name} onValueChange={setName} required maxLength={200} />
        </Field>
      </form>
      {keep.error && !errors["name"] ? <ErrorNotice error={keep.error} /> : null}
      <AsCurl calls={[{ method: "POST", path: `/node/flows/${flowId}/revisions/`, body }]} />
    </Dialog>
  );
}
