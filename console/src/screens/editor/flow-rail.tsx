import { Link } from "@tanstack/react-router";
import { History, ListChecks, Rocket, Workflow } from "lucide-react";
import type { ReactNode } from "react";
import { editorTexts } from "../../strings/editor";
import styles from "./flow-rail.module.css";

interface FlowRailProps {
  flowId: string;
  children?: ReactNode;
}

/** The parts of a flow; the editor puts its palette below. */
export function FlowRail({ flowId, children }: FlowRailProps) {
  return (
    <div className={styles.rail}>
      <nav aria-label={editorTexts.rail}>
        <ul className={styles.links}>
          {PARTS.map(({ to, label, description, Icon }) => (
            <li key={to}>
              <Link
                to={to}
                params={{ flowId }}
                className={styles.link}
                title={description}
                activeProps={{ "aria-current": "page" }}
              >
                <Icon size={16} aria-hidden />
                {label}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      {children}
    </div>
  );
}

const PARTS = [
  { to: "/flows/$flowId/edit", ...editorTexts.parts.graph, Icon: Workflow },
  { to: "/flows/$flowId/deploy", ...editorTexts.parts.deployments, Icon: Rocket },
  { to: "/flows/$flowId/runs", ...editorTexts.parts.runs, Icon: ListChecks },
  { to: "/flows/$flowId/history", ...editorTexts.parts.history, Icon: History },
] as const;
