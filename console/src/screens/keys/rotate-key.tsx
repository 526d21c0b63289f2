import { useState } from "react";
import { bodyOf, useChange } from "../../api/change";
import { api } from "../../api/client";
import { ProblemError } from "../../api/problem";
import { t } from "../../strings";
import { keyTexts } from "../../strings/keys";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Checkbox, Choice } from "../../ui/choice";
import { Dialog } from "../../ui/dialog";
import { ErrorNotice } from "../../ui/notice";
import { useHeld } from "../../ui/use-held";
import { SaveKeyDialog } from "../deployments/save-key";
import { opensOne } from "./key-settings";
import { KEYS, type Key } from "./queries";

/** Seconds that the old key stays valid. */
const GRACES = ["0", "3600", "86400", "259200", "604800"] as const;

type Grace = (typeof GRACES)[number];

/** Replaces a key by a new one, which is shown once. */
export function RotateKeyDialog({ apiKey, onClose }: { apiKey: Key; onClose: () => void }) {
  const [grace, setGrace] = useState<Grace>("86400");
  const [force, setForce] = useState(false);
  const body = { grace_seconds: Number(grace), force };
  const rotate = useChange(
    async () =>
      bodyOf(
        await api.POST("/node/api-keys/{key_id}/rotate/", {
          params: { path: { key_id: apiKey.id } },
          body,
        }),
      ),
    { reloads: [KEYS] },
  );
  const isHeld = useHeld(rotate);
  if (rotate.data)
    return <SaveKeyDialog apiKey={rotate.data.key} deployment={opensOne(rotate.data)} onDone={onClose} />;
  const isRotating = rotate.error instanceof ProblemError && rotate.error.problem.code === "conflict";
  const close = () => {
    if (!isHeld) onClose();
  };
  return (
    <Dialog
      title={keyTexts.rotateTitle(apiKey.name)}
      onClose={close}
      footer={
        <>
          <Button onClick={close} disabled={isHeld}>
            {t.common.cancel}
          </Button>
          <Button look="primary" disabled={rotate.isPending} onClick={() => rotate.mutate(undefined)}>
            {keyTexts.rotate}
          </Button>
        </>
      }
    >
      <Choice
        label={keyTexts.rotateText}
        value={grace}
        onChange={setGrace}
        options={GRACES.map((seconds) => ({
          value: seconds,
          label: keyTexts.graces[seconds]?.[0] ?? seconds,
          hint: keyTexts.graces[seconds]?.[1],
        }))}
      />
      {rotate.error ? <ErrorNotice error={rotate.error} /> : null}
      <AsCurl calls={[{ method: "POST", path: `${KEYS}${apiKey.id}/rotate/`, body }]} />
      {isRotating || force ? <Checkbox label={keyTexts.force} checked={force} onChange={setForce} /> : null}
    </Dialog>
  );
}
