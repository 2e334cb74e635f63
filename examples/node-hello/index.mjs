export const handler = async (event, context) => ({
  message: `Hello, ${event?.name ?? 'world'}!`,
  runtime: `Node.js ${process.versions.node}`,
  functionVersion: context.functionVersion,
  requestId: context.awsRequestId,
});
