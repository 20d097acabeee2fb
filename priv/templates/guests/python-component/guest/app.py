# A component: its functions are those of wit/world.wit.


class Greetings:
    def greet(self, name: str) -> str:
        return f"Hello, {name}!"
