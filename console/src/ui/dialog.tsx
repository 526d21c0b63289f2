import { Dialog as BaseDialog } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import { type ReactNode, useRef, useState } from "react";
import { t } from "../strings";
import { IconButton } from "./button";
import styles from "./dialog.module.css";

interface DialogProps {
  title: string;
  children: ReactNode;
  /** The buttons; they stay visible while the content scrolls. */
  footer?: ReactNode;
  /** Called when the user wants to close it; omitted: it stays until it has done its work. */
  onClose?: () => void;
  narrow?: boolean;
}

/** What takes the focus when a dialog opens: the first control of its content, not the button that closes it. */
const CONTROLS = "[role=radio][data-checked], input:not([aria-hidden], [readonly]), select, textarea, button";

/** The button of the menu whose item has the focus, and has opened a dialog: the item is gone when that closes. */
function triggerOfOpenMenu(): HTMLElement | null {
  const id = document.activeElement?.closest("[role=menu]")?.getAttribute("aria-labelledby");
  return id ? document.getElementById(id) : null;
}

/** A dialog that is open as long as it is rendered. */
export function Dialog({ title, children, footer, onClose, narrow = false }: DialogProps) {
  const content = useRef<HTMLDivElement>(null);
  const [trigger] = useState(triggerOfOpenMenu);
  const firstControl = () => content.current?.querySelector<HTMLElement>(CONTROLS) ?? true;
  return (
    <BaseDialog.Root open disablePointerDismissal onOpenChange={(open) => !open && onClose?.()}>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className={styles.backdrop} />
        <BaseDialog.Popup
          initialFocus={firstControl}
          finalFocus={() => trigger ?? true}
          className={narrow ? `${styles.popup} ${styles.narrow}` : styles.popup}
        >
          <header className={styles.header}>
            <BaseDialog.Title className={styles.title}>{title}</BaseDialog.Title>
            {onClose ? (
              <IconButton label={t.common.close} onClick={onClose}>
                <X size={16} aria-hidden />
              </IconButton>
            ) : null}
          </header>
          <div ref={content} className={styles.content}>
            {children}
          </div>
          {footer ? <footer className={styles.footer}>{footer}</footer> : null}
        </BaseDialog.Popup>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  );
}
