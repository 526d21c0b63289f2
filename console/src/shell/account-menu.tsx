import { Menu } from "@base-ui/react/menu";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Check, CircleUser } from "lucide-react";
import { logOut } from "../api/client";
import { useSession } from "../api/session";
import { useZone, ZONES } from "../formats/zone";
import { paletteTexts } from "../strings/palette";
import { navigationTexts } from "../strings/shell";
import { THEMES, useTheme } from "../theme/theme";
import styles from "../ui/menu.module.css";
import { errorMessage } from "../ui/notice";
import { toast } from "../ui/toast";
import { openOverlay } from "./overlay";

export function AccountMenu() {
  const user = useSession((state) => state.session?.user);
  const { theme, choose } = useTheme();
  const { zone, choose: chooseZone } = useZone();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const leave = useMutation({
    mutationFn: async () => {
      await queries.cancelQueries(); // the gateway would refuse what arrives after the log-out
      await logOut();
    },
    onSuccess: async () => {
      await navigate({ to: "/login" });
      queries.clear(); // the next user must not see what the last one has loaded
    },
    onError: (error) => toast(errorMessage(error)),
  });
  return (
    <Menu.Root>
      <Menu.Trigger className={styles.trigger} aria-label={navigationTexts.account}>
        <CircleUser size={18} aria-hidden />
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner align="end" sideOffset={6} className={styles.positioner}>
          <Menu.Popup className={styles.popup}>
            <div className={styles.user}>{user ? `${user.email} · ${user.role}` : null}</div>
            <OneOf
              label={navigationTexts.theme}
              values={THEMES}
              names={navigationTexts.themes}
              value={theme}
              onChange={choose}
            />
            <OneOf
              label={navigationTexts.zone}
              values={ZONES}
              names={navigationTexts.zones}
              value={zone}
              onChange={chooseZone}
            />
            <Menu.Separator className={styles.separator} />
            <Menu.Item className={styles.item} onClick={() => openOverlay("shortcuts")}>
              {paletteTexts.commands.keys}
            </Menu.Item>
            <Menu.Item className={styles.item} onClick={() => leave.mutate()}>
              {navigationTexts.logOut}
            </Menu.Item>
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}

interface OneOfProps<Value extends string> {
  label: string;
  values: readonly Value[];
  names: Record<Value, string>;
  value: Value;
  onChange: (value: Value) => void;
}

function OneOf<Value extends string>({ label, values, names, value, onChange }: OneOfProps<Value>) {
  return (
    <Menu.RadioGroup value={value} onValueChange={(chosen) => onChange(chosen as Value)}>
      <Menu.Group>
        <Menu.GroupLabel className={styles.label}>{label}</Menu.GroupLabel>
        {values.map((each) => (
          <Menu.RadioItem key={each} value={each} className={styles.item}>
            <span className={styles.mark}>
              <Menu.RadioItemIndicator>
                <Check size={14} aria-hidden />
              </Menu.RadioItemIndicator>
            </span>
            {names[each]}
          </Menu.RadioItem>
        ))}
      </Menu.Group>
    </Menu.RadioGroup>
  );
}
