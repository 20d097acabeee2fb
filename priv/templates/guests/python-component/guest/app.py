# A component with the functions of wit/world.wit.


class Greetings:
    def greet(self, name: str) -> str:
        return f"Hello, {name}!"
