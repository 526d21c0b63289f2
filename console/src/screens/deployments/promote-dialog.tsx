import { hooks } from "../../api/client";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { AsCurl } from "../../ui/as-curl";
import { Button } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Loaded } from "../../ui/loading";
import { ErrorNotice } from "../../ui/notice";
import { DifferenceTable } from "./difference-table";
import { usePromotion } from "./promotion";

interface PromoteDialogProps {
  deploymentId: string;
  live: number;
  version: number;
  onClose: () => void;
}

/** Asks before another version goes live, and shows what changes for callers. */
export function PromoteDialog({ deploymentId, live, version, onClose }: PromoteDialogProps) {
  const { promotion } = usePromotion(deploymentId);
  const difference = hooks.useQuery("get", "/node/deployments/{deployment_id}/diff/", {
    params: {
      path: { deployment_id: deploymentId },
      query: { before: String(live), after: String(version) },
    },
  });
  const promote = () => promotion.mutate({ version, before: live }, { onSuccess: onClose });
  return (
    <Dialog
      title={deploymentTexts.versions.promoteTitle(version)}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <Button look="primary" disabled={promotion.isPending} onClick={promote}>
            {deploymentTexts.versions.promoteOf(version)}
          </Button>
        </>
      }
    >
      <p>{deploymentTexts.versions.promoteText(live, version)}</p>
      <Loaded query={difference}>{(found) => <DifferenceTable difference={found} />}</Loaded>
      {promotion.error ? <ErrorNotice error={promotion.error} /> : null}
      <AsCurl
        calls={[{ method: "POST", path: `/node/deployments/${deploymentId}/versions/${version}/promote/` }]}
      />
    </Dialog>
  );
}
