import { Toast } from "@base-ui/react/toast";
import { X } from "lucide-react";
import { t } from "../strings";
import { IconButton } from "./button";
import buttons from "./button.module.css";
import styles from "./toast.module.css";

const SHOWN_MILLISECONDS = 10_000;

const manager = Toast.createToastManager();

interface ToastAction {
  label: string;
  onPress: () => void;
}

/** Say what was done, for a moment; the action undoes it, or goes on from it. */
export function toast(text: string, action?: ToastAction): void {
  const id = manager.add({
    title: text,
    timeout: SHOWN_MILLISECONDS,
    ...(action
      ? {
          actionProps: {
            children: action.label,
            onClick: () => {
              manager.close(id);
              action.onPress();
            },
          },
        }
      : {}),
  });
}

/** Where toasts appear. */
export function Toasts() {
  return (
    <Toast.Provider toastManager={manager}>
      <Toast.Portal>
        <Toast.Viewport className={styles.viewport}>
          <ToastList />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

function ToastList() {
  const { toasts, close } = Toast.useToastManager();
  return toasts.map((each) => (
    <Toast.Root key={each.id} toast={each} className={styles.toast}>
      <Toast.Content className={styles.content}>
        <Toast.Title render={<p />} className={styles.title} />
        {each.actionProps ? <Toast.Action className={`${buttons.button} ${buttons.plain}`} /> : null}
        <IconButton label={t.common.close} onClick={() => close(each.id)}>
          <X size={16} aria-hidden />
        </IconButton>
      </Toast.Content>
    </Toast.Root>
  ));
}
