// What a server may lack yet: tests that need it are skipped, and say so.

import { test } from "./fixtures";

interface Document {
  paths: Record<string, Record<string, unknown>>;
}

// needs skips the test unless the server's description of itself has the routes,
// each as "post /api/v1/stores/{store}/sync", and its tasks answer if one is theirs.
export async function needs(server: string, ...routes: string[]): Promise<void> {
  const { paths } = (await (await fetch(`${server}/openapi.json`)).json()) as Document;
  const lacks = routes.filter((route) => {
    const [method, path] = route.split(" ") as [string, string];
    return !paths[path]?.[method];
  });
  test.skip(lacks.length > 0, `the server has no ${lacks.join(", no ")}`);
  if (!routes.some((route) => route.endsWith("/sync") || route.includes("/tasks"))) return;
  const answer = await fetch(`${server}/api/v1/tasks?limit=1`);
  test.skip(answer.status === 503, "the server has the routes of tasks, but no tasks");
}
