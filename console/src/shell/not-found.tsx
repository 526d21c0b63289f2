import { t } from "../strings";
import { ButtonLink } from "../ui/button";
import { EmptyState, Page } from "../ui/page";
import styles from "./shell.module.css";

export function NotFound() {
  return (
    <main className={styles.alone}>
      <Page title={t.errors.notFound}>
        <EmptyState
          text={t.errors.notFoundText}
          action={
            <ButtonLink to="/flows" look="primary">
              {t.errors.home}
            </ButtonLink>
          }
        />
      </Page>
    </main>
  );
}
