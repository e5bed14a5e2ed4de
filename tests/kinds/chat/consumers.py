"""The consumer of the chat: who is in a room is told what anybody there says."""

from channels.generic.websocket import AsyncJsonWebsocketConsumer


class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self):
        self.room = f"chat_{self.scope['url_route']['kwargs']['room']}"
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive_json(self, content):
        said = {"type": "chat.message", "message": content["message"]}
        await self.channel_layer.group_send(self.room, said)

    async def chat_message(self, event):
        await self.send_json({"message": event["message"]})
