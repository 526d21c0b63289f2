import { Menu as BaseMenu } from "@base-ui/react/menu";
import { Ellipsis } from "lucide-react";
import { type ComponentProps, cloneElement, type ReactElement, useState } from "react";
import styles from "./menu.module.css";

export interface MenuAction {
  label: string;
  onSelect: () => void;
  danger?: boolean;
}

interface MenuProps {
  /** What opens it: a button. */
  trigger: ReactElement<ComponentProps<"button">>;
  actions: readonly MenuAction[];
  /** Which edge of the trigger it begins at. */
  align?: "start" | "end";
}

/** A list of actions that a button opens. It is made when it is opened first: a list has many of them. */
export function Menu({ trigger, actions, align = "end" }: MenuProps) {
  const [isMade, setMade] = useState(false);
  if (!isMade)
    return cloneElement(trigger, {
      "aria-haspopup": "menu",
      "aria-expanded": false,
      onClick: () => setMade(true),
      onKeyDown: (event) => {
        if (!["ArrowDown", "ArrowUp"].includes(event.key)) return;
        event.preventDefault();
        setMade(true);
      },
    });
  return (
    <BaseMenu.Root defaultOpen>
      <BaseMenu.Trigger render={trigger} />
      <BaseMenu.Portal>
        <BaseMenu.Positioner align={align} sideOffset={4} className={styles.positioner}>
          <BaseMenu.Popup className={styles.popup}>
            {actions.map((action) => (
              <BaseMenu.Item
                key={action.label}
                className={action.danger ? `${styles.item} ${styles.danger}` : styles.item}
                onClick={action.onSelect}
              >
                {action.label}
              </BaseMenu.Item>
            ))}
          </BaseMenu.Popup>
        </BaseMenu.Positioner>
      </BaseMenu.Portal>
    </BaseMenu.Root>
  );
}

/** The verbs of a row or page behind three dots; `label` names what they act on. */
export function ActionMenu({ label, actions }: { label: string; actions: readonly MenuAction[] }) {
  const trigger = (
    <button type="button" className={`${styles.trigger} ${styles.row}`} aria-label={label} title={label}>
      <Ellipsis size={16} aria-hidden />
    </button>
  );
  return <Menu trigger={trigger} actions={actions} />;
}
