import { getRouteApi } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { bodyOf, useChange } from "../../api/change";
import { api } from "../../api/client";
import { fieldErrors } from "../../api/problem";
import { t } from "../../strings";
import { keyTexts } from "../../strings/keys";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { ErrorNotice } from "../../ui/notice";
import { useHeld } from "../../ui/use-held";
import { SaveKeyDialog } from "../deployments/save-key";
import { isComplete, KeyFields } from "./key-fields";
import { keyBody, NEW_KEY, opensOne } from "./key-settings";
import styles from "./keys.module.css";
import { KEYS } from "./queries";

const route = getRouteApi("/app/settings/keys/new");
const FORM = "new-key";

/** The dialog that creates a key, and then shows it once. */
export function NewKeyDialog() {
  const navigate = route.useNavigate();
  const [settings, setSettings] = useState(NEW_KEY);
  const create = useChange(
    async () => bodyOf(await api.POST("/node/api-keys/", { body: keyBody(settings, new Date()) })),
    { reloads: [KEYS] },
  );
  const isHeld = useHeld(create);
  const toList = () => void navigate({ to: "/settings/keys" });
  if (create.data)
    return <SaveKeyDialog apiKey={create.data.key} deployment={opensOne(create.data)} onDone={toList} />;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isComplete(settings) && !create.isPending) create.mutate(undefined);
  };
  const close = () => {
    if (!isHeld) toList();
  };
  return (
    <Dialog
      title={keyTexts.createTitle}
      onClose={close}
      footer={
        <>
          <Button onClick={close} disabled={isHeld}>
            {t.common.cancel}
          </Button>
          <Button
            type="submit"
            form={FORM}
            look="primary"
            disabled={create.isPending || !isComplete(settings)}
          >
            {keyTexts.create}
          </Button>
        </>
      }
    >
      <form id={FORM} onSubmit={submit} className={styles.form}>
        <KeyFields
          settings={settings}
          onChange={setSettings}
          expiries={["never", "7", "30", "90", "365"]}
          errors={fieldErrors(create.error)}
        />
      </form>
      {create.error ? <ErrorNotice error={create.error} /> : null}
      <AsCurl calls={[{ method: "POST", path: KEYS, body: keyBody(settings, new Date()) }]} />
    </Dialog>
  );
}
