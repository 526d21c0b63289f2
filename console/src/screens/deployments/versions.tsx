import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, hooks } from "../../api/client";
import { useList } from "../../api/lists";
import type { components } from "../../api/schema";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { rolloutTexts } from "../../strings/rollouts";
import { Button, ButtonLink } from "../../ui/button";
import { List } from "../../ui/list";
import { Loaded } from "../../ui/loading";
import { EmptyState } from "../../ui/page";
import { Status } from "../../ui/status";
import { RolloutPart } from "../rollouts/rollout";
import type { Rollout } from "../rollouts/rollout-form";
import styles from "./deployment.module.css";
import { makerOf } from "./maker";
import { PromoteDialog } from "./promote-dialog";

type Version = components["schemas"]["VersionSummary"];

const route = getRouteApi("/app/deployments/$deploymentId/versions");

/** The versions of a deployment, newest first; each can be made live again. */
export function VersionsTab() {
  const { deploymentId } = route.useParams();
  const deployment = hooks.useQuery("get", "/node/deployments/{deployment_id}/", {
    params: { path: { deployment_id: deploymentId } },
  });
  return (
    <Loaded query={deployment}>
      {({ version, rollout }) => <Versions deploymentId={deploymentId} live={version} rollout={rollout} />}
    </Loaded>
  );
}

interface VersionsProps {
  deploymentId: string;
  live: number;
  rollout: Rollout | null;
}

function Versions({ deploymentId, live, rollout }: VersionsProps) {
  const [chosen, setChosen] = useState<number | null>(null);
  const versions = useList(`/node/deployments/${deploymentId}/versions/`, async (query) => {
    const { data } = await api.GET("/node/deployments/{deployment_id}/versions/", {
      params: { path: { deployment_id: deploymentId }, query },
    });
    return data;
  });
  return (
    <div className={styles.stack}>
      {rollout ? <RolloutPart deploymentId={deploymentId} rollout={rollout} onPromote={setChosen} /> : null}
      {rollout?.state === "running" ? null : (
        <div>
          <ButtonLink to="/deployments/$deploymentId/rollout" params={{ deploymentId }}>
            {rolloutTexts.begin}
          </ButtonLink>
        </div>
      )}
      <List
        label={deploymentTexts.versions.title}
        query={versions}
        columns={columns(deploymentId, live, setChosen)}
        keyOf={({ version }) => String(version)}
        empty={<EmptyState text={t.common.unknown} action={null} />}
      />
      {chosen === null ? null : (
        <PromoteDialog
          deploymentId={deploymentId}
          live={live}
          version={chosen}
          onClose={() => setChosen(null)}
        />
      )}
    </div>
  );
}

function columns(deploymentId: string, live: number, onPromote: (version: number) => void) {
  return [
    {
      title: deploymentTexts.versions.version,
      cell: ({ version }: Version) => (
        <span className={styles.states}>
          <Link
            to="/deployments/$deploymentId/versions/$number"
            params={{ deploymentId, number: String(version) }}
            className={styles.name}
          >
            {deploymentTexts.versions.number(version)}
          </Link>
          {version === live ? <Status state="live">{deploymentTexts.versions.live}</Status> : null}
        </span>
      ),
    },
    { title: deploymentTexts.versions.note, cell: ({ name }: Version) => name ?? t.common.unknown },
    { title: deploymentTexts.versions.models, cell: ({ models }: Version) => pinsText(models) },
    { title: deploymentTexts.versions.made, cell: ({ created_at }: Version) => <Time iso={created_at} /> },
    { title: deploymentTexts.versions.by, cell: (version: Version) => makerOf(version) },
    {
      title: deploymentTexts.deployments.actions,
      cell: ({ version }: Version) =>
        version === live ? (
          <ButtonLink to="/deployments/$deploymentId/redeploy" params={{ deploymentId }}>
            {deploymentTexts.deployments.redeploy}
          </ButtonLink>
        ) : (
          <span className={styles.actions}>
            <ButtonLink
              to="/deployments/$deploymentId/compare"
              params={{ deploymentId }}
              search={{ before: String(live), after: String(version) }}
              aria-label={deploymentTexts.versions.compareOf(version)}
            >
              {deploymentTexts.versions.compare}
            </ButtonLink>
            <Button
              aria-label={deploymentTexts.versions.promoteOf(version)}
              onClick={() => onPromote(version)}
            >
              {deploymentTexts.versions.promote}
            </Button>
          </span>
        ),
    },
  ];
}

/** The model versions that a version pins, as a text. */
export function pinsText(models: Version["models"]): string {
  const pins = models.map(({ model, version }) => deploymentTexts.difference.model(model, version));
  return pins.length ? [...new Set(pins)].join(", ") : deploymentTexts.versions.noModels;
}
