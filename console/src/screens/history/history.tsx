import { getRouteApi, Link } from "@tanstack/react-router";
import { Bookmark, Undo2 } from "lucide-react";
import { useState } from "react";
import { hooks } from "../../api/client";
import { bytes } from "../../formats/formats";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { flowTexts } from "../../strings/flows";
import { Button } from "../../ui/button";
import { Loaded } from "../../ui/loading";
import { Page } from "../../ui/page";
import { Status } from "../../ui/status";
import { Table } from "../../ui/table";
import { FlowRail } from "../editor/flow-rail";
import { RowChanges } from "./change-list";
import styles from "./history.module.css";
import { LiveDialog } from "./live-dialog";
import { NameDialog } from "./name-dialog";
import { authorOf, type Revision, useRevisions } from "./queries";
import { RevisionDetails } from "./revision-details";

const route = getRouteApi("/app/flows/$flowId/history");

/** What a flow was, and how to go back to it. */
export function HistoryScreen() {
  const { flowId } = route.useParams();
  const { revision } = route.useSearch();
  const [open, setOpen] = useState<"name" | "live" | null>(null);
  const flow = hooks.useQuery("get", "/node/flows/{flow_id}/", { params: { path: { flow_id: flowId } } });
  const revisions = useRevisions(flowId);
  const close = () => setOpen(null);
  return (
    <div className={styles.withRail}>
      <FlowRail flowId={flowId} />
      <div>
        <Loaded query={flow}>
          {({ name }) => (
            <Page
              title={flowTexts.history.title(name)}
              area={t.flows.title}
              actions={
                <>
                  <Button onClick={() => setOpen("live")}>
                    <Undo2 size={16} aria-hidden />
                    {flowTexts.history.live.open}
                  </Button>
                  <Button onClick={() => setOpen("name")}>
                    <Bookmark size={16} aria-hidden />
                    {flowTexts.history.name.open}
                  </Button>
                </>
              }
            >
              <Loaded query={revisions} rows={6}>
                {({ items }) =>
                  revision === undefined ? (
                    <RevisionList flowId={flowId} revisions={items} />
                  ) : (
                    <RevisionDetails flowId={flowId} number={revision} revisions={items} />
                  )
                }
              </Loaded>
            </Page>
          )}
        </Loaded>
        {open === "name" ? <NameDialog flowId={flowId} onClose={close} /> : null}
        {open === "live" ? <LiveDialog flowId={flowId} onClose={close} /> : null}
      </div>
    </div>
  );
}

function RevisionList({ flowId, revisions }: { flowId: string; revisions: readonly Revision[] }) {
  const present = revisions[0];
  const before = new Map(revisions.map(({ number }, at) => [number, revisions[at + 1]]));
  const columns = [
    {
      title: flowTexts.history.revision,
      cell: (revision: Revision) => (
        <span className={styles.states}>
          <Link
            to="/flows/$flowId/history"
            params={{ flowId }}
            search={{ revision: revision.number }}
            className={styles.name}
          >
            {flowTexts.history.number(revision.number)}
          </Link>
          {revision === present ? <Status state="draft">{flowTexts.history.present}</Status> : null}
          {revision.name ? <span className={styles.checkpoint}>{revision.name}</span> : null}
        </span>
      ),
    },
    {
      title: flowTexts.history.changes,
      cell: (revision: Revision) => (
        <RowChanges flowId={flowId} revision={revision} before={before.get(revision.number)} />
      ),
    },
    {
      title: flowTexts.history.by,
      cell: (revision: Revision) => <span className={styles.short}>{authorOf(revision)}</span>,
    },
    { title: flowTexts.history.saved, cell: ({ saved_at }: Revision) => <Time iso={saved_at} /> },
    {
      title: flowTexts.history.size,
      cell: (revision: Revision) => <span className={styles.short}>{bytes(revision.bytes)}</span>,
    },
  ];
  return (
    <>
      <p className={styles.faint}>{flowTexts.history.lead}</p>
      <Table
        label={flowTexts.history.list}
        rows={revisions}
        columns={columns}
        keyOf={({ number }) => String(number)}
      />
    </>
  );
}
