import { useQueryClient } from "@tanstack/react-query";
import { Outlet, useLocation, useRouter } from "@tanstack/react-router";
import { Menu as MenuIcon, X } from "lucide-react";
import { useEffect, useState } from "react";
import { useSession } from "../api/session";
import { t } from "../strings";
import { connectionTexts, navigationTexts } from "../strings/shell";
import { IconButton } from "../ui/button";
import { usePageTitle } from "../ui/page";
import { Toasts, toast } from "../ui/toast";
import { AccountMenu } from "./account-menu";
import { Breadcrumbs } from "./breadcrumbs";
import { watchReloads } from "./failed-reloads";
import { GatewayBanner } from "./gateway-banner";
import { useShortcuts } from "./keyboard/use-shortcuts";
import { LiveIndicator } from "./live-indicator";
import { Navigation } from "./navigation";
import { Overlays, SearchButton } from "./overlays";
import { noteOpened } from "./recent";
import { SessionEndedDialog } from "./session-ended-dialog";
import styles from "./shell.module.css";

const IDLE_MILLISECONDS = 500;

/** The frame of all pages of a session: navigation, header and what concerns every page. */
export function Shell() {
  const [isOpen, setOpen] = useState(false);
  const { pathname } = useLocation();
  useEffect(() => setOpen(false), [pathname]);
  useScreensInAdvance();
  useShortcuts();
  useRecentObjects();
  useFailedReloads();
  return (
    <div className={styles.shell}>
      <a href="#content" className={styles.skip}>
        {t.common.skip}
      </a>
      <Navigation isOpen={isOpen} />
      <div className={styles.side}>
        <header className={styles.header}>
          <IconButton
            label={navigationTexts.open}
            aria-expanded={isOpen}
            className={styles.drawer ?? ""}
            onClick={() => setOpen(!isOpen)}
          >
            {isOpen ? <X size={18} aria-hidden /> : <MenuIcon size={18} aria-hidden />}
          </IconButton>
          <Breadcrumbs />
          <SearchButton />
          <LiveIndicator />
          <AccountMenu />
          <a className={styles.help} href="/docs" target="_blank" rel="noreferrer">
            {t.common.help}
          </a>
        </header>
        <GatewayBanner />
        <main id="content" className={styles.content} tabIndex={-1}>
          <Outlet />
        </main>
      </div>
      <Overlays />
      <SessionEndedDialog />
      <Toasts />
      <PageAnnouncement />
    </div>
  );
}

/** Says to screen readers which page has opened: the browser does so only for documents. */
function PageAnnouncement() {
  const title = usePageTitle((page) => page.title);
  return (
    <p role="status" className={styles.announcement}>
      {title}
    </p>
  );
}

/** Says when what is shown is not up to date. */
function useFailedReloads() {
  const queries = useQueryClient();
  useEffect(
    () =>
      watchReloads(queries, (message, retry) =>
        toast(connectionTexts.notUpToDate(message), { label: t.common.retry, onPress: retry }),
      ),
    [queries],
  );
}

/** Load the other screens while nothing happens: they open then also when the gateway is away. */
function useScreensInAdvance() {
  const router = useRouter();
  useEffect(() => {
    const load = () => {
      for (const route of Object.values(router.routesById))
        router.loadRouteChunk(route)?.catch(() => undefined);
    };
    const timer = setTimeout(load, IDLE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [router]);
}

/** Keep what the user opens for the command palette. A page says its title when it has loaded its object. */
function useRecentObjects() {
  const router = useRouter();
  useEffect(
    () =>
      usePageTitle.subscribe(({ title }) => {
        const user = useSession.getState().session?.user;
        const path = window.location.pathname.slice(router.basepath.length);
        if (user) noteOpened(user.id, path, title);
      }),
    [router],
  );
}
