"""The consumer of the chat: it tells what it is told."""

from channels.generic.websocket import AsyncJsonWebsocketConsumer


class Chat(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content, **kwargs):
        await self.send_json({"message": content["message"], "path": self.scope["path"]})
