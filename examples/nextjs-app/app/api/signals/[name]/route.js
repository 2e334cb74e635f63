import { send } from '../../../signals';

// Lets pages go on that wait: `POST /api/signals/NAME`.
export async function POST(_request, { params }) {
  const { name } = await params;
  return Response.json({ signal: name, woken: send(name) });
}
