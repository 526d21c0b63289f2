import { bodyOf, useChange } from "../../api/change";
import { api } from "../../api/client";
import { codeTexts } from "../../strings/code";
import { Button } from "../../ui/button";
import { ErrorNotice } from "../../ui/notice";
import { useHeld } from "../../ui/use-held";
import { SaveKeyDialog } from "./save-key";

/** Makes another key that opens this deployment only, and shows it once. */
export function GenerateKey({ deploymentId }: { deploymentId: string }) {
  const params = { path: { deployment_id: deploymentId } };
  const make = useChange(
    async () => bodyOf(await api.POST("/node/deployments/{deployment_id}/api-keys/", { params })),
    { reloads: ["/node/api-keys/", "/node/deployments/"] },
  );
  useHeld(make);
  return (
    <>
      <Button onClick={() => make.mutate(undefined)} disabled={make.isPending}>
        {codeTexts.code.generateKey}
      </Button>
      {make.error ? <ErrorNotice error={make.error} /> : null}
      {make.data ? (
        <SaveKeyDialog deployment={{ id: deploymentId }} apiKey={make.data.key} onDone={make.reset} />
      ) : null}
    </>
  );
}
