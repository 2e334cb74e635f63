// A worker: `fetch` gets a Request and gives a Response. An event that is invoked comes as the body of a POST.

export default {
  async fetch(request, env) {
    const body = request.method === "POST" ? await request.json().catch(() => null) : null;
    const name = body?.name ?? new URL(request.url).searchParams.get("name") ?? env.GREETED;
    console.log("greeting", name);
    return Response.json({ message: `Hello, ${name}!`, from: "a V8 isolate" });
  },
};
