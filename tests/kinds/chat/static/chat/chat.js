const secure = location.protocol === 'https:'
const chat = new WebSocket(`${secure ? 'wss' : 'ws'}://${location.host}/ws/chat/lobby/`)
const form = document.querySelector('form')

chat.onopen = () => { form.querySelector('button').disabled = false }
chat.onmessage = event => {
  const line = document.createElement('li')
  line.textContent = JSON.parse(event.data).message
  document.querySelector('ol').append(line)
}
form.onsubmit = event => {
  event.preventDefault()
  chat.send(JSON.stringify({ message: form.elements.message.value }))
  form.reset()
}
