// Made by 'daybook types' of the app 'jobs', version 3, definition b2249d696865f5719d337b52ad010b43.
// Make it anew when the definition changes; do not edit it.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Value = null | number | string;

export interface Tables {
  jobs: {
    key: string;
    row: { id: string; title: string; status: "QUEUED" | "RUNNING" | "DONE"; urgent: boolean; options: Json; size: number | null; made: string };
    put: { id?: string; title: string; status?: "QUEUED" | "RUNNING" | "DONE"; urgent?: boolean; options?: Json; size?: number | null; made?: string };
    patch: { title?: string; status?: "QUEUED" | "RUNNING" | "DONE"; urgent?: boolean; options?: Json; size?: number | null; made?: string };
  };
  tags: {
    key: [string, number];
    row: { job: string; rank: number };
    put: { job?: string; rank?: number };
    patch: { };
  };
  progress: {
    key: string;
    row: { job: string; percent: number; picture: string | null; anything: Value };
  };
}

export interface Queries {
  by_status: {
    args: { status: string; since?: string | null; top?: number };
    row: { id: string; title: string; options: Json; letters: Value };
  };
  counts: {
    args: {};
    row: { status: "QUEUED" | "RUNNING" | "DONE" | null; jobs: number | null };
  };
  progress_of: {
    args: { id: string };
    row: { id: string | null; status: "QUEUED" | "RUNNING" | "DONE" | null; job: string | null; percent: number | null; picture: string | null; anything: Value };
  };
  urgent: {
    args: {};
    row: { id: string | null; title: string | null };
  };
}

export interface Commands {
  "job.start": {
    args: { id: string; urgent?: boolean };
    result: { id: string; status: "QUEUED" | "RUNNING" | "DONE" };
  };
  "job.forget": {
    args: { id: string };
  };
}

export interface Settings {
  ui: Json;
  [name: `tab:\$\`${string}`]: Json;
}

export interface App {
  name: "jobs";
  tables: Tables;
  queries: Queries;
  commands: Commands;
  settings: Settings;
}
