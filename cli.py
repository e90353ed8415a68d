from dominoes.commands import main

main()
