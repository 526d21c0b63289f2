import {
  Box,
  Braces,
  BrainCircuit,
  Code,
  FileCode,
  Globe,
  LogIn,
  LogOut,
  type LucideIcon,
  Sigma,
  Split,
  SquareFunction,
  Timer,
} from "lucide-react";
import type { NodeKind } from "./kinds";

/** The icons that the gateway names; all of Lucide would be far too much to load. */
const ICONS: Record<string, LucideIcon> = {
  "brain-circuit": BrainCircuit,
  braces: Braces,
  box: Box,
  code: Code,
  "file-code": FileCode,
  globe: Globe,
  "log-in": LogIn,
  "log-out": LogOut,
  sigma: Sigma,
  split: Split,
  "square-function": SquareFunction,
  timer: Timer,
};

export function KindIcon({ kind }: { kind: NodeKind | undefined }) {
  const Icon = ICONS[kind?.icon ?? ""] ?? Box;
  return <Icon size={14} aria-hidden />;
}
