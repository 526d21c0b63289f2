import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { nodeInfo } from "../../api/setup";
import { t } from "../../strings";
import { Notice } from "../../ui/notice";
import { AccountPage } from "./account-page";
import { LoginForm } from "./login-form";

const route = getRouteApi("/login");

export function LoginScreen() {
  const { next } = route.useSearch();
  const router = useRouter();
  const info = useQuery({ queryKey: ["node-info"], queryFn: nodeInfo });
  return (
    <AccountPage title={t.login.title}>
      {info.data?.setup_required ? (
        <Notice kind="info" title={t.login.firstStart}>
          <p>{t.login.firstStartText}</p>
        </Notice>
      ) : null}
      <LoginForm
        onDone={() => router.history.replace(router.basepath + (next ?? "/flows") + window.location.hash)}
      />
    </AccountPage>
  );
}
