import { Link } from "@tanstack/react-router";
import {
  Activity,
  Boxes,
  ChartLine,
  KeyRound,
  ListVideo,
  MonitorSmartphone,
  Rocket,
  ScrollText,
  UserRound,
  Users,
  Webhook,
  Workflow,
} from "lucide-react";
import { useSession } from "../api/session";
import { navigationTexts } from "../strings/shell";
import { Brand } from "../ui/brand";
import styles from "./shell.module.css";

/** The screens that the navigation leads to, by group. */
export const GROUPS = [
  {
    title: navigationTexts.build,
    items: [
      { to: "/flows", label: navigationTexts.flows, Icon: Workflow },
      { to: "/models", label: navigationTexts.models, Icon: Boxes },
    ],
  },
  {
    title: navigationTexts.run,
    items: [
      { to: "/deployments", label: navigationTexts.deployments, Icon: Rocket },
      { to: "/runs", label: navigationTexts.runs, Icon: ListVideo },
      { to: "/webhooks", label: navigationTexts.webhooks, Icon: Webhook },
    ],
  },
  {
    title: navigationTexts.operate,
    items: [
      { to: "/usage", label: navigationTexts.usage, Icon: ChartLine },
      { to: "/system", label: navigationTexts.system, Icon: Activity, forAdmins: true },
    ],
  },
  {
    title: navigationTexts.settings,
    items: [
      { to: "/settings/keys", label: navigationTexts.keys, Icon: KeyRound },
      { to: "/settings/profile", label: navigationTexts.profile, Icon: UserRound },
      { to: "/settings/sessions", label: navigationTexts.sessions, Icon: MonitorSmartphone },
      { to: "/settings/users", label: navigationTexts.users, Icon: Users, forAdmins: true },
      { to: "/settings/audit", label: navigationTexts.audit, Icon: ScrollText },
    ],
  },
] as const;

export function Navigation({ isOpen }: { isOpen: boolean }) {
  const isMember = useSession((state) => state.session?.user.role) === "member";
  return (
    <nav className={styles.navigation} aria-label={navigationTexts.label} data-open={isOpen || undefined}>
      <Link to="/flows" className={styles.brand}>
        <Brand />
      </Link>
      {GROUPS.map(({ title, items }) => (
        <div key={title} className={styles.group}>
          <span className={styles.groupTitle}>{title}</span>
          <ul>
            {items
              .filter((item) => !("forAdmins" in item && isMember))
              .map(({ to, label, Icon }) => (
                <li key={to}>
                  <Link to={to} className={styles.item} activeProps={{ "aria-current": "page" }}>
                    <Icon size={16} aria-hidden />
                    {label}
                  </Link>
                </li>
              ))}
          </ul>
        </div>
      ))}
    </nav>
  );
}
